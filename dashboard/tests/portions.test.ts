// SPDX-License-Identifier: BSD-3-Clause
import { expect, it } from "vitest";
import { nextPortion } from "../src/ui/portions";

it("a portion that was fast is followed by one twice as large", () => expect(nextPortion(4, 3)).toBe(8));
it("a portion that was slow is followed by a smaller one", () => expect(nextPortion(8, 48)).toBe(2));
it("a portion has at least one item", () => expect(nextPortion(1, 5000)).toBe(1));
