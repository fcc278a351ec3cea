/* SPDX-License-Identifier: BSD-3-Clause */
/* What our snippet uses of RIOT's credential manager, with RIOT's names. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const void *s;
    size_t len;
} credman_buffer_t;

typedef struct {
    credman_buffer_t key;
    credman_buffer_t id;
    credman_buffer_t hint;
} psk_params_t;

typedef uint16_t credman_tag_t;
typedef enum { CREDMAN_TYPE_EMPTY, CREDMAN_TYPE_PSK, CREDMAN_TYPE_ECDSA } credman_type_t;

typedef struct {
    credman_type_t type;
    credman_tag_t tag;
    union {
        psk_params_t psk;
    } params;
} credman_credential_t;

int credman_add(const credman_credential_t *credential);
