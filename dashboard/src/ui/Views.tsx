// SPDX-License-Identifier: BSD-3-Clause
/** Saves what the page shows as a view, and edits the saved ones. */
import { useSignal } from "@preact/signals";
import { natural } from "../model/order";
import { quote } from "../model/text";
import { toast } from "../store";
import { edit, freeId, remove, save, views, type SavedView } from "../views";
import { Drawer, focusOn } from "./Drawer";
import { problemText } from "./problemText";
import { t } from "../i18n";
import { h } from "../i18n/home";
import "../registry.css";

const TITLE_MAX = 64;

export function Views({ isNew, close }: { isNew: boolean; close: () => void }) {
  const problem = useSignal("");
  const attempt = async (work: () => Promise<void>): Promise<boolean> => {
    problem.value = "";
    try {
      await work();
      return true;
    } catch (error) {
      problem.value = problemText(error);
      return false;
    }
  };
  return (
    <Drawer title={h(isNew ? "view.new" : "view.manage")} kind="details small views-dialog" close={close}>
      {isNew ? <NewView attempt={attempt} close={close} /> : <List attempt={attempt} />}
      <p class="problem" role="alert">
        {problem}
      </p>
    </Drawer>
  );
}

type Attempt = (work: () => Promise<void>) => Promise<boolean>;

function NewView({ attempt, close }: { attempt: Attempt; close: () => void }) {
  const title = useSignal("");
  const start = useSignal(false);
  const send = async (event: Event) => {
    event.preventDefault();
    const name = title.peek().trim();
    if (name && (await attempt(() => save(freeId(name), name, start.peek(), 0)))) {
      toast.value = { text: h("view.saved", { name: quote(name) }) };
      close();
    }
  };
  return (
    <form class="view-form" onSubmit={(event) => void send(event)}>
      <label class="field">
        <span>{h("view.name")}</span>
        <input class="input" ref={focusOn} required maxLength={TITLE_MAX} value={title} onInput={(event) => (title.value = event.currentTarget.value)} />
      </label>
      <label class="check">
        <input type="checkbox" checked={start} onChange={(event) => (start.value = event.currentTarget.checked)} />
        {h("view.is_start")}
      </label>
      <p class="hint">{h("view.hint")}</p>
      <div class="buttons">
        <button type="button" class="button" onClick={close}>
          {t("cancel")}
        </button>
        <button type="submit" class="button primary">
          {h("save")}
        </button>
      </div>
    </form>
  );
}

function List({ attempt }: { attempt: Attempt }) {
  const list = [...(views.value ?? [])].sort((a, b) => natural(a.view.title, b.view.title));
  if (!list.length) return <p class="hint">{h("view.none")}</p>;
  return (
    <ul class="view-list">
      {list.map((saved) => (
        <Line key={`${saved.id} ${saved.revision}`} saved={saved} attempt={attempt} />
      ))}
    </ul>
  );
}

function Line({ saved, attempt }: { saved: SavedView; attempt: Attempt }) {
  const { id, view } = saved;
  const name = quote(view.title);
  const copied = useSignal(false);
  const rename = (title: string) => {
    if (title.trim() && title !== view.title) void attempt(() => edit(saved, { title: title.trim() }));
  };
  const copy = async () => {
    await navigator.clipboard?.writeText(new URL(`#/${view.screen ?? "nodes"}?view=${encodeURIComponent(id)}`, location.href).href).catch(() => undefined);
    copied.value = true;
  };
  return (
    <li>
      <input class="input" aria-label={h("view.rename", { name })} maxLength={TITLE_MAX} value={view.title} onChange={(event) => rename(event.currentTarget.value)} />
      <label class="check">
        <input type="checkbox" aria-label={h("view.make_start", { name })} checked={view.start ?? false} onChange={(event) => void attempt(() => edit(saved, { start: event.currentTarget.checked }))} />
        {h("view.start")}
      </label>
      <button type="button" class="button small" aria-label={h("view.link", { name })} onClick={() => void copy()}>
        {copied.value ? t("copy.done") : h("copy")}
      </button>
      <button type="button" class="button small" aria-label={h("view.remove", { name })} onClick={() => void attempt(() => removed(saved))}>
        {h("remove")}
      </button>
    </li>
  );
}

/** Remove it, and offer to save it again. */
async function removed(saved: SavedView): Promise<void> {
  await remove(saved);
  toast.value = {
    text: h("view.removed", { name: quote(saved.view.title) }),
    undo: async () => {
      await edit({ ...saved, revision: 0 }, {});
      return "";
    },
  };
}
