// SPDX-License-Identifier: BSD-3-Clause
// What the example uses of Arduino, on the machine of the test.
#pragma once

#include <cstdint>
#include <iostream>
#include <string>

#define LOW 0x0
#define HIGH 0x1
#define OUTPUT 0x1

class String : public std::string {
 public:
  String() = default;
  String(const char *text) : std::string(text) {}
  String(const std::string &text) : std::string(text) {}
  explicit String(int number) : std::string(std::to_string(number)) {}
  void replace(const String &old, const String &now) {
    for (size_t at; (at = find(old)) != npos;) std::string::replace(at, old.size(), now);
  }
};

inline String operator+(const String &a, const String &b) {
  return String(static_cast<const std::string &>(a) + static_cast<const std::string &>(b));
}
inline String operator+(const char *a, const String &b) { return String(a) + b; }
inline String operator+(const String &a, const char *b) { return a + String(b); }

struct SerialPort {
  void begin(int) {}
  void print(const String &text) { std::cout << text; }
  void println(const String &text) { std::cout << text << std::endl; }
  void println(int number) { std::cout << number << std::endl; }
};
extern SerialPort Serial;

unsigned long millis();
void pinMode(int pin, int mode);
void digitalWrite(int pin, int level);
void setup();
void loop();
