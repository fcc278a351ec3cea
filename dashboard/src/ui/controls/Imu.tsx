// SPDX-License-Identifier: BSD-3-Clause
/** An inertial sensor: its axes as lines, and a teapot with the orientation of the node. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Orientation } from "../../model/orientation";
import { shortNumber } from "../../model/figures";
import { nodeTitle, quote } from "../../model/text";
import type { Node, Resource } from "../../model/state";
import { onSample, state, triggerOf } from "../../store";
import { drawLines } from "../sparkline";
import { RowFrame, vectorName } from "../rows";
import { localDigits, t } from "../../i18n";
import "../../imu.css";

const orientations = new WeakMap<Node, Orientation>();

/** One per node, shared by all views. */
function orientationOf(node: Node): Orientation {
  let it = orientations.get(node);
  if (!it) {
    it = new Orientation();
    orientations.set(node, it);
  }
  return it;
}

export function ImuRow({ resource }: { resource: Resource }) {
  const types = [...(resource.vectors?.keys() ?? [])];
  return (
    <RowFrame resource={resource} kind="imu">
      <div class="imu">
        <div class="imu-lines">
          {types.map((type) => (
            <Axes key={type} resource={resource} type={type} />
          ))}
        </div>
        <Teapot resource={resource} />
      </div>
    </RowFrame>
  );
}

function Axes({ resource, type }: { resource: Resource; type: string }) {
  const lines = useRef<SVGSVGElement>(null);
  const values = useRef<HTMLSpanElement>(null);
  useEffect(
    () =>
      onSample(resource, () => {
        const vector = resource.vectors?.get(type);
        if (!vector || !lines.current) return;
        drawLines(lines.current, vector.rings, "", !state.live || !!resource.node.left);
        if (values.current) {
          values.current.textContent = vector.values.map((value) => localDigits(shortNumber(value))).join("  ");
          values.current.dataset.tip = vector.values.map((value) => localDigits(String(value))).join("  ");
        }
      }),
    [resource],
  );
  return (
    <div class="axes">
      <span class="axes-name">{vectorName(type)}</span>
      <span class="axes-values" ref={values} />
      <svg ref={lines} class="lines" viewBox="0 0 140 40" preserveAspectRatio="none" aria-hidden="true" />
    </div>
  );
}

/** When the place is seen and the page has nothing else to do. */
const idle = (place: Element, signal: AbortSignal) =>
  new Promise<void>((done) => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if ("requestIdleCallback" in window) requestIdleCallback(() => done(), { timeout: 3000 });
      else setTimeout(done, 300);
    });
    observer.observe(place);
    signal.addEventListener("abort", () => observer.disconnect());
  });

function Teapot({ resource }: { resource: Resource }) {
  void triggerOf(resource.node).value; // its name
  const place = useRef<HTMLDivElement>(null);
  const loaded = useSignal(false);
  const orientation = useMemo(() => orientationOf(resource.node), [resource.node]);
  useEffect(() => {
    let end = () => {};
    const unmounted = new AbortController();
    if (!place.current) return;
    void idle(place.current, unmounted.signal).then(() => import("../../teapot")).then(async ({ makeTeapot, prepare }) => {
      await prepare();
      if (unmounted.signal.aborted || !place.current) return;
      const draw = makeTeapot(place.current);
      loaded.value = true;
      const stop = onSample(resource, () => {
        const { vectors, ts } = resource;
        orientation.update(vectors?.get("acc")?.values, vectors?.get("gyro")?.values, ts);
        draw(orientation);
      });
      end = () => {
        stop();
        place.current?.replaceChildren();
      };
    });
    return () => {
      unmounted.abort();
      end();
    };
  }, [resource]);
  return (
    <div class="teapot">
      <div ref={place} class="teapot-place" role="img" aria-label={t("teapot.of", { name: quote(nodeTitle(resource.node)) })} />
      <button type="button" class="button small" onClick={() => orientation.reset()}>
        {t("teapot.reset")}
      </button>
    </div>
  );
}
