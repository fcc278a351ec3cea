/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

enum { SAUL_SENSE_TEMP = 0x82 };

typedef struct {
    int16_t val[3];
    uint8_t unit;
    int8_t scale;
} phydat_t;

typedef struct {
    uint8_t type;
} saul_reg_t;

saul_reg_t *saul_reg_find_type(uint8_t type);
int saul_reg_read(saul_reg_t *sensor, phydat_t *data);
