// SPDX-License-Identifier: BSD-3-Clause
import { describe, expect, it } from "vitest";
import { outlines } from "../src/countries";
import { boxAround, clustersOf, continuous, distance, fan, gridOf, metresPerPixel, moves, nearTo, normal, partsOf, roundAbove, roundBelow, scaleOf } from "../src/model/geo";

const at = (lat: number, lng: number) => ({ lat, lng });
const world = { south: -80, west: -180, north: 80, east: 180 };

describe("the scale", () => {
  it("is right at each latitude", () => {
    // 1° of longitude is as long as the distance says, and has as many pixels as the map gives it.
    for (const lat of [0, 35, 60, 80, -60])
      for (const zoom of [1, 9, 20]) {
        const pixels = (256 * 2 ** zoom) / 360 / 1000; // of a thousandth of a degree
        expect(metresPerPixel(lat, zoom) * pixels).toBeCloseTo(distance(at(lat, 10), at(lat, 10.001)), 2);
      }
    expect(metresPerPixel(60, 5) / metresPerPixel(0, 5)).toBeCloseTo(0.5);
  });

  it("has a round length that fits", () => {
    for (let zoom = 1; zoom <= 21; zoom += 0.5)
      for (const lat of [0, 48, 71]) {
        const { metres, pixels } = scaleOf(lat, zoom, 110);
        expect(pixels).toBeGreaterThan(110 / 2.6);
        expect(pixels).toBeLessThanOrEqual(110.001);
        expect([1, 2, 5]).toContain(Number(metres.toExponential()[0]));
      }
    expect([roundBelow(999), roundBelow(5), roundAbove(0.3), roundAbove(7)]).toEqual([500, 5, 0.5, 10]);
  });
});

describe("the antimeridian", () => {
  it("does not split a box, a line or a cluster", () => {
    expect(boxAround([at(-17, 179), at(-18, -179), at(-16, 178)])).toEqual({ south: -18, north: -16, west: 178, east: 181 });
    expect(boxAround([at(1, 10), at(2, 20)])).toEqual({ south: 1, north: 2, west: 10, east: 20 });
    expect(boxAround([])).toBeNull();
    expect(continuous([at(0, 179), at(0, -179), at(0, -178), at(0, 179.5)]).map(({ lng }) => lng)).toEqual([179, 181, 182, 179.5]);
    // Around 180°, both sides are drawn on the same side of the world.
    expect([179.9, -179.9].map((lng) => nearTo(lng, 180))).toEqual([179.9, 180.1]);
    expect([181, -181, 540, -180, 0].map(normal)).toEqual([-179, 179, 180, 180, 0]);
    expect(distance(at(0, 179.5), at(0, -179.5))).toBeCloseTo(distance(at(0, 0), at(0, 1)), 3);
  });

  it("has land on both sides, and no outline leaps across the world or runs along it", () => {
    const { land, borders } = outlines();
    const lngs = land.flat(2).map(([, lng]) => lng);
    expect(lngs.some((lng) => lng > 200) && lngs.some((lng) => lng < -200)).toBe(true);
    const leaps = borders.flatMap((line) => line.slice(1).filter(([lat, lng], index) => Math.abs(lng - line[index][1]) > 30 || (Math.abs(Math.abs(lng) - 180) < 0.01 && Math.abs(lat - line[index][0]) > 3 && Math.abs(lng - line[index][1]) < 0.01)));
    expect(leaps).toEqual([]);
    expect(borders.length).toBeGreaterThan(3 * 400);
  });
});

describe("the grid", () => {
  it("has lines at every zoom, not too near and not too many", () => {
    for (let zoom = 1; zoom <= 21; zoom += 1) {
      const half = (180 / (256 * 2 ** zoom)) * 900; // a map of 900 pixels
      const box = { south: Math.max(-80, 48 - half / 2), north: Math.min(84, 48 + half / 2), west: 2 - half, east: 2 + half };
      const { lngs, lats, metres } = gridOf(box, zoom);
      expect(lngs.length).toBeGreaterThanOrEqual(1);
      expect(lngs.length).toBeLessThanOrEqual(21);
      expect(lats.length).toBeGreaterThanOrEqual(1);
      expect(metres > 0).toBe(zoom >= 12);
    }
    expect(gridOf(world, 1).lngs).toContain(0);
  });

  it("has square cells of round metres in a street", () => {
    const box = { south: 48.0, north: 48.002, west: 2.0, east: 2.003 };
    const { metres, lats, lngs, digits } = gridOf(box, 18);
    expect(metres).toBe(50);
    expect(distance(at(lats[0], 2), at(lats[1], 2))).toBeCloseTo(50, 1);
    expect(distance(at(48, lngs[0]), at(48, lngs[1]))).toBeCloseTo(50, 1);
    // Two labels differ, and the lines stay where they are when the map moves.
    expect(new Set(lngs.map((lng) => lng.toFixed(digits))).size).toBe(lngs.length);
    const moved = gridOf({ ...box, west: 2.001, east: 2.004 }, 18);
    expect(moved.lngs[0]).toBeCloseTo(lngs.find((lng) => lng >= 2.001) ?? NaN, 9);
  });
});

describe("clusters", () => {
  it("join what is near, count all, and are at its middle", () => {
    const points = [0, 10, 20, 200].map((x) => ({ item: x, x, y: 0 }));
    const found = clustersOf(points, 44);
    expect(found.map(({ items }) => items)).toEqual([[0, 10, 20], [200]]);
    expect(found[0].x).toBeCloseTo(10);
  });

  it("lose none of 10,000", () => {
    const points = Array.from({ length: 10_000 }, (_, n) => ({ item: n, x: (n * 7919) % 2000, y: (n * 104_729) % 1200 }));
    const found = clustersOf(points, 44);
    expect(found.reduce((sum, { items }) => sum + items.length, 0)).toBe(10_000);
    expect(found.length).toBeLessThan(2000);
  });

  it("of one place open as a fan in which no two touch", () => {
    const places = fan(60, 34);
    expect(places).toHaveLength(60);
    for (const [index, a] of places.entries()) for (const b of places.slice(index + 1)) expect(Math.hypot(a.x - b.x, a.y - b.y)).toBeGreaterThan(24);
  });
});

describe("tracks", () => {
  it("have a gap where nothing was recorded, and are whole across ±180°", () => {
    const track = [[0, 179.8], [10, 179.9], [20, -179.9], [5000, -179.8], [5010, -179.7]].map(([ts, lng]) => ({ lat: -17, lng, ts }));
    expect(partsOf(track, 900).map((part) => part.map(({ lng }) => lng))).toEqual([[179.8, 179.9, 180.1], [-179.8, -179.7]]);
  });

  it("are of nodes that move, not of those whose position trembles", () => {
    expect(moves([at(48, 2), at(48.00005, 2)])).toBe(false);
    expect(moves([at(48, 2), at(48.0005, 2)])).toBe(true);
  });
});
