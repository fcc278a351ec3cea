#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Runs on the A8 node of the border router: the network of its radio, and a CoAP gateway.
# Usage: border.sh PREFIX BROKER_HOST BROKER_PORT TOKEN_FILE
set -eu
prefix=$1
broker_host=$2
broker_port=$3
token_file=$4

# RIOT's tools connect the serial line of the radio to the interface tap0.
tools=${RIOT_TOOLS:-$HOME/riot/RIOT/dist/tools}
cd "$tools/ethos"
./start_network.sh /dev/ttyA8_M3 tap0 "$prefix" 500000 &
network=$!
trap 'kill "$network"' EXIT

# A token that others can read is refused.
install -m 600 "$token_file" "$HOME/gateway.token"
"${AIOT:-aiot}" coap-gateway --host :: --interface tap0 --name iot-lab \
    --broker-host "$broker_host" --broker-port "$broker_port" --broker-ssl \
    --token-file "$HOME/gateway.token"
