// SPDX-License-Identifier: BSD-3-Clause
/** Components that are loaded when they are first shown. */
import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { allTexts, t } from "../i18n";

/** `height`: the room to reserve until then, in pixels. */
export function lazy<P extends object = object>(load: () => Promise<ComponentType<P>>, height = 0): ComponentType<P> {
  let found: ComponentType<P> | null = null;
  return function Lazy(properties: P) {
    const ready = useSignal(found !== null);
    const failed = useSignal(false);
    useEffect(() => {
      if (found) {
        // Another one loaded it between the first drawing of this one and now.
        ready.value = true;
        return;
      }
      let unmounted = false;
      Promise.all([load(), allTexts]).then(
        ([component]) => {
          found = component;
          if (!unmounted) ready.value = true;
        },
        () => {
          if (!unmounted) failed.value = true;
        },
      );
      return () => {
        unmounted = true;
      };
    }, []);
    if (failed.value) return <p class="wait">{t("part.failed")}</p>;
    if (!ready.value || !found) return height ? <div style={{ height }} /> : null;
    const Found = found;
    return <Found {...properties} />;
  };
}
