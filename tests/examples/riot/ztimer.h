/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

#define ZTIMER_MSEC 1

void ztimer_sleep(int clock, uint32_t duration);
