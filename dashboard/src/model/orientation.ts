// SPDX-License-Identifier: BSD-3-Clause
/** Orientation of a node: roll and pitch from gravity, yaw by integrating the rotation rate. */

/** Rotation rates below this, in degrees per second, are noise. */
const STILL = 3;
/** Beyond any sensor. */
const RATE_MAX = 1e6;
const GAP_S = 2;

export class Orientation {
  /** Radians. */
  roll = 0;
  pitch = 0;
  yaw = 0;
  private at = NaN;

  /** `acc` in any unit; `gyro` in degrees per second; `time` in seconds. */
  update(acc: number[] | undefined, gyro: number[] | undefined, time: number): void {
    if (acc && acc.length >= 3 && acc.some((value) => value !== 0)) {
      const [x, y, z] = acc;
      this.roll = Math.atan2(y, z);
      this.pitch = Math.atan2(-x, Math.hypot(y, z));
    }
    const step = time - this.at;
    this.at = time;
    if (gyro && gyro.length >= 3 && step > 0 && step < GAP_S && Math.abs(gyro[2]) > STILL && Math.abs(gyro[2]) < RATE_MAX)
      this.yaw = (this.yaw + (gyro[2] * step * Math.PI) / 180) % (2 * Math.PI);
  }

  /** Make the current orientation the reference. */
  reset(): void {
    this.yaw = 0;
  }
}
