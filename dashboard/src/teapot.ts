// SPDX-License-Identifier: BSD-3-Clause
/**
 * A teapot that shows the orientation of a node. One WebGL context draws all of them, because a
 * browser gives a page only a few; without WebGL, a CSS box turns instead.
 */
import type { Orientation } from "./model/orientation";

const SIZE = 132; // CSS pixels

type Point = [number, number, number];
type Draw = (orientation: Orientation) => void;

/** Put a teapot into `container`, after `prepare`; returns the function that turns it. */
export function makeTeapot(container: HTMLElement): Draw {
  return painter ? canvasIn(container, painter) : boxIn(container);
}

let prepared: Promise<void> | undefined;
/** Make the painter, in steps between which the page answers. */
export const prepare = (): Promise<void> => (prepared ??= makePainter().then((made) => void (painter = made)));

const pause = () => new Promise<void>((done) => setTimeout(done));

interface Painter {
  canvas: HTMLCanvasElement;
  paint: (orientation: Orientation, size: number, colour: Point) => void;
}
let painter: Painter | null = null;

function canvasIn(container: HTMLElement, { canvas, paint }: Painter): Draw {
  const own = document.createElement("canvas");
  const pixels = Math.round(SIZE * Math.min(devicePixelRatio, 2));
  own.width = own.height = pixels;
  container.replaceChildren(own);
  const context = own.getContext("2d");
  return (orientation) => {
    paint(orientation, pixels, colourOf(container));
    context?.clearRect(0, 0, pixels, pixels);
    context?.drawImage(canvas, 0, canvas.height - pixels, pixels, pixels, 0, 0, pixels, pixels);
  };
}

function colourOf(container: HTMLElement): Point {
  const [red = 13, green = 133, blue = 125] = (getComputedStyle(container).color.match(/\d+/g) ?? []).map(Number);
  return [red / 255, green / 255, blue / 255];
}

function boxIn(container: HTMLElement): Draw {
  const box = document.createElement("div");
  box.className = "box";
  for (const side of ["front", "back", "left", "right", "top", "bottom"]) {
    const face = document.createElement("i");
    face.className = side;
    box.append(face);
  }
  container.replaceChildren(box);
  return ({ roll, pitch, yaw }) => {
    box.style.transform = `rotateX(-24deg) rotateY(${-yaw}rad) rotateX(${-pitch}rad) rotateZ(${roll}rad)`;
  };
}

// -- the shape ------------------------------------------------------------------------------------

/** Turn a profile of (radius, height) around the upright axis. */
function turned(profile: [number, number][], steps: number, push: (points: Point[]) => void): void {
  for (let i = 0; i + 1 < profile.length; i += 1)
    for (let j = 0; j < steps; j += 1) {
      const at = ([radius, height]: [number, number], step: number): Point => {
        const angle = (step / steps) * 2 * Math.PI;
        return [radius * Math.cos(angle), height, radius * Math.sin(angle)];
      };
      push([at(profile[i], j), at(profile[i + 1], j), at(profile[i + 1], j + 1), at(profile[i], j + 1)]);
    }
}

/** A tube along points in the x-y plane, with a radius at each. */
function tube(path: [number, number, number][], steps: number, push: (points: Point[]) => void): void {
  const rings = path.map(([x, y, radius], index) => {
    const [ax, ay] = path[Math.max(0, index - 1)];
    const [bx, by] = path[Math.min(path.length - 1, index + 1)];
    const length = Math.hypot(bx - ax, by - ay) || 1;
    const [nx, ny] = [-(by - ay) / length, (bx - ax) / length];
    return Array.from({ length: steps + 1 }, (_, step): Point => {
      const angle = (step / steps) * 2 * Math.PI;
      const side = radius * Math.cos(angle);
      return [x + nx * side, y + ny * side, radius * Math.sin(angle)];
    });
  });
  for (let i = 0; i + 1 < rings.length; i += 1)
    for (let j = 0; j < steps; j += 1) push([rings[i][j], rings[i][j + 1], rings[i + 1][j + 1], rings[i + 1][j]]);
}

/** A smooth curve through points, `between` of them added in each gap. */
function smooth<T extends number[]>(points: T[], between: number): T[] {
  const all: T[] = [];
  for (let i = 0; i + 1 < points.length; i += 1)
    for (let j = 0; j < between; j += 1) {
      const u = j / between;
      const [a, b, c, d] = [points[Math.max(0, i - 1)], points[i], points[i + 1], points[Math.min(points.length - 1, i + 2)]];
      all.push(
        b.map((_, k) =>
          0.5 * (2 * b[k] + (c[k] - a[k]) * u + (2 * a[k] - 5 * b[k] + 4 * c[k] - d[k]) * u * u + (3 * b[k] - a[k] - 3 * c[k] + d[k]) * u ** 3),
        ) as T,
      );
    }
  all.push(points[points.length - 1]);
  return all;
}

/** Triangles: position and normal, six numbers a corner. */
export function teapotMesh(): Float32Array {
  const out: number[] = [];
  const push = ([a, b, c, d]: Point[]) => {
    const u = [c[0] - a[0], c[1] - a[1], c[2] - a[2]];
    const v = [d[0] - b[0], d[1] - b[1], d[2] - b[2]];
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    const length = Math.hypot(...n) || 1;
    for (const corner of [a, b, c, a, c, d]) out.push(...corner, n[0] / length, n[1] / length, n[2] / length);
  };
  turned(smooth([[0, -0.72], [0.5, -0.72], [0.82, -0.5], [0.95, -0.1], [0.82, 0.32], [0.62, 0.52]], 6), 40, push);
  turned(smooth([[0.64, 0.5], [0.55, 0.62], [0.22, 0.74], [0.1, 0.78], [0.17, 0.92], [0.001, 1.02]], 5), 40, push);
  tube(smooth([[0.78, -0.28, 0.26], [1.12, -0.12, 0.19], [1.3, 0.22, 0.12], [1.55, 0.46, 0.1]], 6), 16, push);
  tube(smooth([[-0.72, 0.34, 0.08], [-1.2, 0.38, 0.09], [-1.42, 0.08, 0.09], [-1.2, -0.3, 0.09], [-0.82, -0.38, 0.08]], 6), 12, push);
  return new Float32Array(out);
}

// -- drawing it -----------------------------------------------------------------------------------

const VERTEX = `attribute vec3 p, n; uniform mat3 turn; varying vec3 normal;
void main() { vec3 q = turn * p * .56; normal = turn * n; gl_Position = vec4(q.xy, -q.z * .4, 1. - q.z * .18); }`;
const FRAGMENT = `precision mediump float; varying vec3 normal; uniform vec3 colour;
void main() { vec3 n = normalize(normal); n *= sign(n.z + .0001);
float light = .35 + .65 * max(0., dot(n, normalize(vec3(-.4, .75, .6))));
float shine = pow(max(0., dot(n, normalize(vec3(-.25, .5, .85)))), 24.) * .45;
gl_FragColor = vec4(colour * light + shine, 1.); }`;

async function makePainter(): Promise<Painter | null> {
  const mesh = teapotMesh();
  await pause();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE * 2;
  const gl = canvas.getContext("webgl", { antialias: true, alpha: true, preserveDrawingBuffer: true });
  const program = gl?.createProgram();
  if (!gl || !program) return null;
  for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
    const shader = gl.createShader(type);
    if (!shader) return null;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  await pause();
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, mesh, gl.STATIC_DRAW);
  for (const [name, offset] of [["p", 0], ["n", 12]] as const) {
    const container = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(container);
    gl.vertexAttribPointer(container, 3, gl.FLOAT, false, 24, offset);
  }
  gl.enable(gl.DEPTH_TEST);
  const turn = gl.getUniformLocation(program, "turn");
  const colourPlace = gl.getUniformLocation(program, "colour");
  return {
    canvas,
    paint(orientation, size, colour) {
      gl.viewport(0, 0, size, size);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.uniformMatrix3fv(turn, false, rotation(orientation));
      gl.uniform3fv(colourPlace, colour);
      gl.drawArrays(gl.TRIANGLES, 0, mesh.length / 6);
    },
  };
}

/** Column by column: seen a little from above, then yaw, pitch, roll. */
export function rotation({ roll, pitch, yaw }: { roll: number; pitch: number; yaw: number }): Float32Array {
  const x = (a: number) => [1, 0, 0, 0, Math.cos(a), -Math.sin(a), 0, Math.sin(a), Math.cos(a)];
  const y = (a: number) => [Math.cos(a), 0, Math.sin(a), 0, 1, 0, -Math.sin(a), 0, Math.cos(a)];
  const z = (a: number) => [Math.cos(a), -Math.sin(a), 0, Math.sin(a), Math.cos(a), 0, 0, 0, 1];
  const times = (a: number[], b: number[]) =>
    Array.from({ length: 9 }, (_, i) => {
      const [row, column] = [Math.floor(i / 3), i % 3];
      return a[row * 3] * b[column] + a[row * 3 + 1] * b[3 + column] + a[row * 3 + 2] * b[6 + column];
    });
  // The board's x is the spout's, its z is up; so roll turns around the page's x.
  const m = times(x(0.42), times(y(yaw + 0.5), times(z(-pitch), x(roll))));
  return new Float32Array([m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]]);
}
