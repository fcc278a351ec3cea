// SPDX-License-Identifier: BSD-3-Clause
/** A part of the page that is loaded when it is first shown. */
import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "./words";

export function lazy(load: () => Promise<ComponentType>): ComponentType {
  let found: ComponentType | null = null;
  return function Lazy() {
    const ready = useSignal(found !== null);
    const failed = useSignal(false);
    useEffect(() => {
      if (found) return;
      let gone = false;
      load().then(
        (component) => {
          found = component;
          if (!gone) ready.value = true;
        },
        () => {
          if (!gone) failed.value = true;
        },
      );
      return () => {
        gone = true;
      };
    }, []);
    if (failed.value) return <p class="wait">{t("part.failed")}</p>;
    if (!ready.value || !found) return null;
    const Found = found;
    return <Found />;
  };
}
