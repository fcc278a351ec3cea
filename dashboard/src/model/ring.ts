// SPDX-License-Identifier: BSD-3-Clause
/** The latest samples of one number, with their times. Older ones are overwritten. */

export const SAMPLES = 120;
/** Samples of a node whose details are open. */
export const SAMPLES_WATCHED = 3600;

export class Ring {
  private data: Float64Array; // time, value, time, value …
  private next = 0;
  length = 0;

  constructor(public capacity = SAMPLES) {
    this.data = new Float64Array(capacity * 2);
  }

  push(time: number, value: number): void {
    this.data[this.next * 2] = time;
    this.data[this.next * 2 + 1] = value;
    this.next = (this.next + 1) % this.capacity;
    if (this.length < this.capacity) this.length += 1;
  }

  /** Mark a gap, once. */
  gap(time: number): void {
    if (this.length && !Number.isNaN(this.value(this.length - 1))) this.push(time, NaN);
  }

  /** Prepend older samples, oldest first; those that do not fit are dropped. */
  precede(samples: readonly (readonly [time: number, value: number])[]): void {
    const here = Array.from({ length: this.length }, (_, index) => [this.time(index), this.value(index)] as const);
    const before = samples.slice(Math.max(0, samples.length - (this.capacity - this.length)));
    this.length = this.next = 0;
    for (const [time, value] of [...before, ...here].slice(-this.capacity)) this.push(time, value);
  }

  /** 0 is the oldest. NaN: a gap. */
  value(index: number): number {
    return this.data[this.place(index) * 2 + 1];
  }

  time(index: number): number {
    return this.data[this.place(index) * 2];
  }

  /** Minimum and maximum; both NaN without samples. */
  range(): [number, number] {
    let low = NaN;
    let high = NaN;
    for (let index = 0; index < this.length; index += 1) {
      const value = this.data[index * 2 + 1];
      if (!(value >= low)) low = Number.isNaN(value) ? low : value;
      if (!(value <= high)) high = Number.isNaN(value) ? high : value;
    }
    return [low, high];
  }

  /** Increase the capacity; the samples are kept. */
  grow(capacity: number): void {
    if (capacity <= this.capacity) return;
    const data = new Float64Array(capacity * 2);
    for (let index = 0; index < this.length; index += 1) {
      data[index * 2] = this.time(index);
      data[index * 2 + 1] = this.value(index);
    }
    this.data = data;
    this.capacity = capacity;
    this.next = this.length % capacity;
  }

  private place(index: number): number {
    const first = this.length < this.capacity ? 0 : this.next;
    return (first + index) % this.capacity;
  }
}
