// SPDX-License-Identifier: BSD-3-Clause
export { t } from "../../i18n";
export type MoveKey = "robot.left" | "robot.forward" | "robot.right";
