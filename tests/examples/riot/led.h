/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

#define LED0_ON     puts("LED on")
#define LED0_OFF    puts("LED off")
