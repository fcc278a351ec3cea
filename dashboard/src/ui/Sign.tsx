// SPDX-License-Identifier: BSD-3-Clause
/** The pictures of pages without cards. */

export function Sign({ shape }: { shape: "broken" | "filter" | "waiting" }) {
  return (
    <svg class={`sign ${shape}`} viewBox="0 0 64 64" aria-hidden="true">
      <circle cx="32" cy="32" r="29" />
      {shape === "broken" && <path d="M14 32h12M38 32h12M29 25l-4 14M39 25l-4 14" />}
      {shape === "filter" && <path d="M18 24h28M23 32h18M28 40h8" />}
      {shape === "waiting" && <path d="M17 31a22 22 0 0 1 30 0M23.500 38a12.500 12.500 0 0 1 17 0M32 45v.1" />}
    </svg>
  );
}
