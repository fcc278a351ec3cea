// SPDX-License-Identifier: BSD-3-Clause
/** A wall screen: saved views in turn, without controls, and the screen stays on. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { nextTurn, parseKiosk, screensOf, turnsOf } from "../model/kiosk";
import { natural } from "../model/order";
import { quote } from "../model/text";
import { openView, open, views } from "../views";
import "../kiosk.css";

/** The screen stays on while the page is visible. A browser allows it over HTTPS and on this machine. */
function keepAwake(): () => void {
  const requestLock = () => {
    if (!document.hidden) void navigator.wakeLock?.request("screen").catch(() => undefined);
  };
  requestLock();
  document.addEventListener("visibilitychange", requestLock);
  return () => document.removeEventListener("visibilitychange", requestLock);
}

const its = parseKiosk(location.search)!;

export function Kiosk() {
  const turns = useComputed(() =>
    turnsOf(
      its,
      [...(views.value ?? [])].sort((a, b) => natural(a.view.title, b.view.title)).map(({ id }) => id),
    ),
  );
  /** Counts the screens that were shown, over all views. */
  const step = useSignal(0);
  useEffect(keepAwake, []);
  const id = openView.value?.id ?? "";
  const isFirst = turns.value.length > 0 && !turns.value.includes(id);
  useEffect(() => {
    const show = (next: string) => {
      const found = views.peek()?.find((view) => view.id === next);
      if (found) open(found, true);
      scrollTo(0, 0);
    };
    if (isFirst) {
      show(turns.peek()[0]);
      return;
    }
    const total = screensOf(document.documentElement.scrollHeight, innerHeight);
    const at = Math.round(scrollY / innerHeight);
    const timer = setTimeout(() => {
      if (at + 1 < total) scrollTo(0, (at + 1) * innerHeight);
      else show(nextTurn(turns.peek(), id));
      step.value += 1;
    }, (its.seconds * 1000) / total);
    return () => clearTimeout(timer);
  }, [step.value, id, isFirst]);
  if (!openView.value) return null;
  return (
    <h2 class="kiosk-title">
      {quote(openView.value.view.title)}
      {turns.value.length > 1 && (
        <span class="turns" aria-hidden="true">
          {turns.value.map((turn) => (
            <i key={turn} data-on={turn === id} />
          ))}
        </span>
      )}
    </h2>
  );
}
