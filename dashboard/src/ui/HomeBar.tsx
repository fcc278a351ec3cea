// SPDX-License-Identifier: BSD-3-Clause
/** The bar above the nodes: the view that is open, how many nodes are in which state, layout, tags. */
import { signal, useComputed, useSignal, type Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { changeLayout, layout } from "../layout";
import { mayCommand, mayEdit } from "../info";
import { GROUPS, type Group } from "../model/layout";
import { natural } from "../model/order";
import { hasTerm, toggleTerm, withTerm } from "../model/query";
import { summarise, type Summary } from "../model/summary";
import { quote } from "../model/text";
import { navigate, query, route, screen } from "../route";
import { clock, membership, second, shown, state, toast } from "../store";
import { isChanged, isMissing, close, open, openView, save, views } from "../views";
import { problemText } from "./problemText";
import { columnsOf } from "./columns";
import { Icon } from "./icons";
import { lazy } from "./lazy";
import { moved } from "./arrange";
import { titleOf } from "./rows";
import { TagBar } from "./TagBar";
import { formatNumber, t } from "../i18n";
import { h } from "../i18n/home";
import "../home.css";

type Dialog = "" | "views" | "new" | "bulk";
const Views = lazy<{ isNew: boolean; close: () => void }>(() => import("./Views").then((it) => it.Views));
const Bulk = lazy<{ close: () => void }>(() => import("./Bulk").then((it) => it.Bulk));

/** Whether the window matches a media query, now and when it is resized. */
function matches(media: string): Signal<boolean> {
  const list = matchMedia(media);
  const found = signal(list.matches);
  list.addEventListener("change", () => (found.value = list.matches));
  return found;
}

const isNarrow = matches("(max-width: 560px)");
const isWide = matches("(min-width: 1200px)");
const isWidest = matches("(min-width: 1800px)");

export function HomeBar() {
  const dialog = useSignal<Dialog>("");
  const shut = () => (dialog.value = "");
  // Beside what a changed view offers, they need more than one line.
  const isBeside = openView.value && isChanged.value ? isWidest.value : isWide.value;
  const chips = (
    <div class="chips">
      <Counts />
      <TagBar />
    </div>
  );
  return (
    <div class="home-bar">
      <div class="home-line">
        {views.value && <ViewMenu pick={(it) => (dialog.value = it)} />}
        {isBeside && chips}
        <LayoutTools pick={(it) => (dialog.value = it)} />
      </div>
      {isMissing.value && (
        <p class="hint" role="status">
          {h("view.missing", { name: quote(route.value.view.slice(0, 64)) })}{" "}
          <button type="button" class="link" onClick={close}>
            {h("view.all")}
          </button>
        </p>
      )}
      {!isBeside && chips}
      <div class="visually-hidden" role="status">
        {moved}
      </div>
      {(dialog.value === "views" || dialog.value === "new") && <Views isNew={dialog.value === "new"} close={shut} />}
      {dialog.value === "bulk" && <Bulk close={shut} />}
    </div>
  );
}

/** A menu of buttons that a press outside, Escape and the keyboard's way out close. */
function Menu({ label, name, icon, children, kind = "" }: { label: ComponentChildren; name: string; icon?: "view" | "more"; kind?: string; children: (close: () => void) => ComponentChildren }) {
  const isOpen = useSignal(false);
  const ref = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const shut = () => (isOpen.value = false);
  useEffect(() => {
    if (!isOpen.value) return;
    ref.current?.querySelector<HTMLElement>(".menu :is(button, select)")?.focus();
    const outside = (event: Event) => {
      if (!ref.current?.contains(event.target as Element)) shut();
    };
    addEventListener("pointerdown", outside);
    addEventListener("focusin", outside);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("focusin", outside);
    };
  }, [isOpen.value]);
  const keys = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      shut();
      button.current?.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const all = [...(ref.current?.querySelectorAll<HTMLElement>(".menu button") ?? [])];
      const at = all.indexOf(document.activeElement as HTMLElement) + (event.key === "ArrowDown" ? 1 : -1);
      all.at(at % all.length)?.focus();
    } else return;
    event.preventDefault();
  };
  return (
    <div class={`menu-place ${kind}`} ref={ref} onKeyDown={(event) => isOpen.peek() && keys(event)}>
      <button ref={button} type="button" class="button menu-button" aria-expanded={isOpen.value} aria-label={name} title={name} onClick={() => (isOpen.value = !isOpen.peek())}>
        {icon && <Icon name={icon} />}
        {label}
      </button>
      {isOpen.value && (
        <div class="menu" role="group" aria-label={name}>
          {children(() => {
            shut();
            button.current?.focus();
          })}
        </div>
      )}
    </div>
  );
}

function ViewMenu({ pick }: { pick: (dialog: Dialog) => void }) {
  const list = [...(views.value ?? [])].sort((a, b) => natural(a.view.title, b.view.title));
  const current = openView.value;
  const title = current ? quote(current.view.title) : h("view.all");
  const saveChanges = async () => {
    if (!current) return;
    try {
      await save(current.id, current.view.title, current.view.start ?? false, current.revision);
      toast.value = { text: h("view.saved", { name: quote(current.view.title) }) };
    } catch (error) {
      toast.value = { text: t("problem.failed", { reason: problemText(error) }) };
    }
  };
  return (
    <>
      <Menu
        icon="view"
        kind="views"
        name={`${h("view")}: ${title}`}
        label={
          <span class="menu-title" data-tip="">
            {title}
          </span>
        }
      >
        {(shut) => (
          <>
            <button type="button" aria-current={!route.value.view} onClick={() => (close(), shut())}>
              {h("view.all")}
            </button>
            {list.map((saved) => (
              <button key={saved.id} type="button" aria-current={saved === current} onClick={() => (open(saved), shut())}>
                <span data-tip="">{quote(saved.view.title)}</span>
                {saved.view.start && <span class="soft"> · {h("view.start")}</span>}
              </button>
            ))}
            {mayEdit.value && (
              <>
                <hr />
                <button type="button" onClick={() => (shut(), pick("new"))}>
                  + {h("view.new")}
                </button>
                {list.length > 0 && (
                  <button type="button" onClick={() => (shut(), pick("views"))}>
                    {h("view.manage")}
                  </button>
                )}
              </>
            )}
          </>
        )}
      </Menu>
      {current && isChanged.value && (
        <span class="view-changed">
          <span class="soft">{h("view.changed")}</span>
          {mayEdit.value && (
            <button type="button" class="button small" onClick={() => void saveChanges()}>
              {h("view.save")}
            </button>
          )}
          <button type="button" class="button small" onClick={() => open(current)}>
            {h("view.discard")}
          </button>
        </span>
      )}
    </>
  );
}

const COUNTS: readonly [name: keyof Summary, key: string, value: string][] = [
  ["online", "state", "online"],
  ["stale", "state", "stale"],
  ["silent", "state", "silent"],
  ["offline", "state", "offline"],
  ["lost", "state", "lost"],
  ["updateFailed", "update", "failed"],
];

/** How many nodes are in which state; each is a filter. */
function Counts() {
  const sums = useComputed(() => (void second.value, void membership.value, summarise(state, clock())));
  return (
    <div class="counts" role="group" aria-label={h("summary")}>
      {COUNTS.map(([name, key, value]) => {
        const n = sums.value[name];
        const isOn = hasTerm(query.value, key, value);
        if (!n && !isOn && name !== "online") return null;
        return (
          <button key={name} type="button" class="tag" data-count={name} aria-pressed={isOn} onClick={() => navigate({ query: isOn ? toggleTerm(query.peek(), key, value) : withTerm(query.peek(), key, value) }, true)}>
            {h(`sum.${name}`, { n: formatNumber(n) })}
          </button>
        );
      })}
    </div>
  );
}

function LayoutTools({ pick }: { pick: (dialog: Dialog) => void }) {
  const its = layout.value;
  const isTable = screen.value === "table";
  const hasMore = mayCommand.value || its.order.length > 0 || (isNarrow.value && !isTable);
  return (
    <div class="layout-tools">
      {!isNarrow.value && <Choices />}
      {!isTable && (
        <div class="segmented" role="group" aria-label={h("layout")}>
          {(["nodes", "fleet"] as const).map((name) => (
            <button key={name} type="button" aria-pressed={screen.value === name} onClick={() => navigate({ screen: name })}>
              {isNarrow.value && <Icon name={name === "nodes" ? "nodes" : "menu"} />}
              <span class={isNarrow.value ? "visually-hidden" : undefined}>{h(name === "nodes" ? "cards" : "fleet")}</span>
            </button>
          ))}
        </div>
      )}
      {hasMore && (
        <Menu icon="more" name={h("more")} label="" kind="end">
          {(shut) => (
            <>
              {isNarrow.value && <Choices />}
              {mayCommand.value && (
                <button type="button" onClick={() => (shut(), pick("bulk"))}>
                  {h("bulk")}
                </button>
              )}
              {its.order.length > 0 && (
                <button type="button" onClick={() => (changeLayout({ order: [] }), shut())}>
                  {h("reset")}
                </button>
              )}
            </>
          )}
        </Menu>
      )}
    </div>
  );
}

/** The value of the list, and the groups. */
function Choices() {
  const its = layout.value;
  if (screen.value === "table") return null;
  return (
    <>
      {screen.value === "fleet" && (
        <label>
          <span class="visually-hidden">{h("value")}</span>
          <select value={its.value} onChange={(event) => changeLayout({ value: event.currentTarget.value })}>
            <option value="">{h("value.")}</option>
            {valueNames(its.value).map((name) => (
              <option key={name} value={name} selected={name === its.value}>
                {titleOf(name)}
              </option>
            ))}
          </select>
        </label>
      )}
      <label>
        <span class="visually-hidden">{h("group")}</span>
        <select value={its.group} onChange={(event) => changeLayout({ group: event.currentTarget.value as Group })}>
          {GROUPS.map((group) => (
            <option key={group} value={group} selected={group === its.group}>
              {h(`group.${group}`)}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

/** The numbers and switches that the fleet can show; also the chosen one. */
function valueNames(chosen: string): string[] {
  void membership.value;
  return [...new Set([...columnsOf(shown.value), chosen])].filter(Boolean);
}
