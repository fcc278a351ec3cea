/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "net/gcoap.h"

int sock_udp_str2ep(sock_udp_ep_t *endpoint, const char *text);
