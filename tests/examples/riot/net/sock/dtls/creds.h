/* SPDX-License-Identifier: BSD-3-Clause */
/* What our snippet uses of RIOT's DTLS sockets, with RIOT's names. */
#pragma once

#include "net/credman.h"

typedef struct sock_dtls sock_dtls_t;

sock_dtls_t *gcoap_get_sock_dtls(void);
int sock_dtls_add_credential(sock_dtls_t *sock, credman_tag_t tag);
