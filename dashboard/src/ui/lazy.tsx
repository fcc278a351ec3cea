// SPDX-License-Identifier: BSD-3-Clause
/** A component that is loaded when it is first shown. */
import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";

export function lazy(load: () => Promise<ComponentType>): ComponentType {
  let found: ComponentType | null = null;
  return function Lazy() {
    const ready = useSignal(found !== null);
    const failed = useSignal(false);
    useEffect(() => {
      if (found) return;
      let unmounted = false;
      load().then(
        (component) => {
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
    if (!ready.value || !found) return null;
    const Found = found;
    return <Found />;
  };
}
