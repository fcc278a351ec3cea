/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

typedef struct {
    int16_t id;
} netif_t;

netif_t *netif_iter(netif_t *last);
int16_t netif_get_id(const netif_t *netif);
