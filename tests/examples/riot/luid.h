/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>

void luid_get(void *id, size_t size);
