/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

size_t fmt_bytes_hex(char *out, const uint8_t *bytes, size_t count);
size_t fmt_s16_dfp(char *out, int16_t value, int scale);
