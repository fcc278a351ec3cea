// SPDX-License-Identifier: BSD-3-Clause
// Runs a sketch by the lines of standard input, and prints what it does:
//   at MS               that time passes, in steps of 10 ms
//   wifi|server 0|1     switches Wi-Fi or MQTT broker
//   TOPIC [PAYLOAD]     is received
#include <sstream>

#include "PubSubClient.h"

SerialPort Serial;
Station WiFi;
PubSubClient *PubSubClient::live;
static unsigned long now = 0;

unsigned long millis() { return now; }
void pinMode(int pin, int mode) { std::cout << "pin " << pin << " mode " << mode << std::endl; }
void digitalWrite(int pin, int level) {
  std::cout << "pin " << pin << " is " << level << std::endl;
}

int main() {
  setup();
  for (std::string line, word, rest; std::getline(std::cin, line);) {
    std::istringstream words(line);
    rest.clear();
    words >> word >> rest;
    std::cout << "> " << line << std::endl;
    if (word == "at") {
      for (const unsigned long end = std::stoul(rest); now < end; loop()) now += 10;
    } else if (word == "wifi") {
      WiFi.online = rest == "1";
    } else if (word == "server") {
      PubSubClient::live->server = rest == "1";
    } else {
      PubSubClient::live->receive(word, rest);
    }
  }
}
