// SPDX-License-Identifier: BSD-3-Clause
/** The rules of alerts, and the channels of notifications, for administrators. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { CONDITIONS, putRule, readChannels, readRules, removeRule, SEVERITIES, testChannel, type Channel, type Condition, type Rule, type StoredRule } from "../alertsApi";
import { problemText } from "./problemText";
import type { Severity } from "../alerts";
import { newId } from "../model/ids";
import { views } from "../views";
import { quote, visible } from "../model/text";
import { titleOf } from "./rows";
import { duration, localDigits } from "../i18n";
import { a } from "../i18n/alerts";

const OF_NUMBERS: readonly Condition[] = ["above", "below", "change"];
const WITH_RESOURCE: readonly Condition[] = [...OF_NUMBERS, "no data", "command failed"];
const WITH_DURATION: readonly Condition[] = ["above", "below", "no data", "offline", "gateway lost"];

/** The form opens at the end of a list. */
const show = (form: HTMLElement | null): void => form?.scrollIntoView({ block: "nearest" });

export function AlertRules() {
  const rules = useSignal<StoredRule[] | null>(null);
  const channels = useSignal<Channel[]>([]);
  /** The id of the rule in the form; empty: a new one; null: no form. */
  const edited = useSignal<string | null>(null);
  const problem = useSignal("");
  const attempt = async (work: () => Promise<void>) => {
    problem.value = "";
    try {
      await work();
    } catch (error) {
      problem.value = problemText(error);
    }
  };
  const load = () =>
    attempt(async () => {
      rules.value = await readRules();
      channels.value = await readChannels();
    });
  useEffect(() => void load(), []);
  if (rules.value === null && !problem.value) return null;
  const list = rules.value ?? [];
  const save = (id: string, rule: Rule) =>
    attempt(async () => {
      await putRule(id || newId(rule.title, list.map((it) => it.id), "rule"), rule);
      edited.value = null;
      await load();
    });
  const remove = (id: string) =>
    attempt(async () => {
      await removeRule(id);
      await load();
    });
  return (
    <section>
      <h3>{a("rules")}</h3>
      {problem.value && (
        <p class="bad" role="alert">
          {problem.value}
        </p>
      )}
      {list.length === 0 && edited.value === null && <p class="hint">{a("no_rules")}</p>}
      <ul class="rule-list">
        {list.map(({ id, editable, rule }) => (
          <li key={id}>
            <span>
              {quote(rule.title)}
              <small>
                {[summary(rule), !editable && a("file"), rule.enabled === false && a("off")].filter(Boolean).join(" · ")}
              </small>
              {edited.value === id && <RuleForm rule={rule} save={(changed) => save(id, changed)} cancel={() => (edited.value = null)} />}
            </span>
            {editable && edited.value !== id && (
              <span class="buttons">
                <button type="button" class="button" aria-label={a("edit.of", { name: quote(rule.title) })} onClick={() => (edited.value = id)}>
                  {a("edit")}
                </button>
                <button type="button" class="button" aria-label={a("remove.of", { name: quote(rule.title) })} onClick={() => void remove(id)}>
                  {a("remove")}
                </button>
              </span>
            )}
          </li>
        ))}
      </ul>
      {edited.value === "" ? (
        <RuleForm rule={{ title: "", when: "above", for: "1m", severity: "warning" }} save={(rule) => save("", rule)} cancel={() => (edited.value = null)} />
      ) : (
        <p>
          <button type="button" class="button" onClick={() => (edited.value = "")}>
            {a("add")}
          </button>
        </p>
      )}
      <Channels channels={channels.value} />
    </section>
  );
}

/** "when a value is above a limit · temperature > 30". */
function summary({ when, resource, limit, for: span, tags = [], rooms = [], view }: Rule): string {
  const sign = { above: " > ", below: " < ", change: " ± " }[when as "above" | "below" | "change"] ?? "";
  const what = resource ? `${titleOf(resource)}${sign}${sign && limit !== undefined ? localDigits(String(limit)) : ""}` : "";
  return [a("if", { name: a(`when.${when}`) }), what, typeof span === "number" && span > 0 && duration(span), [...tags, ...rooms].map(visible).join(", "), view && viewTitle(view)].filter(Boolean).join(" · ");
}

const viewTitle = (id: string): string => quote(views.value?.find((it) => it.id === id)?.view.title ?? id);

function RuleForm({ rule, save, cancel }: { rule: Rule; save: (rule: Rule) => Promise<void>; cancel: () => void }) {
  const draft = useSignal<Rule>(rule);
  const { when } = draft.value;
  const set = (change: Partial<Rule>) => (draft.value = { ...draft.value, ...change });
  const submit = (event: Event) => {
    event.preventDefault();
    void save(fitting(draft.peek()));
  };
  return (
    <form class="rule-form" onSubmit={submit} ref={show}>
      <label class="wide">
        {a("rule.title")}
        <input required maxLength={64} value={draft.value.title} onInput={(event) => set({ title: event.currentTarget.value })} />
      </label>
      <label class="wide">
        {a("rule.when")}
        <select value={when} onChange={(event) => set({ when: event.currentTarget.value as Condition })}>
          {CONDITIONS.map((name) => (
            <option key={name} value={name}>
              {a(`when.${name}`)}
            </option>
          ))}
        </select>
      </label>
      {WITH_RESOURCE.includes(when) && (
        <label>
          {a("rule.resource")}
          <input required={OF_NUMBERS.includes(when)} maxLength={64} value={draft.value.resource ?? ""} onInput={(event) => set({ resource: event.currentTarget.value })} />
        </label>
      )}
      {OF_NUMBERS.includes(when) && (
        <label>
          {a("rule.limit")}
          <input required type="number" step="any" value={draft.value.limit ?? ""} onInput={(event) => set({ limit: event.currentTarget.valueAsNumber })} />
        </label>
      )}
      {(when === "above" || when === "below") && (
        <label>
          {a("rule.hysteresis")}
          <input type="number" step="any" min="0" value={draft.value.hysteresis ?? 0} onInput={(event) => set({ hysteresis: event.currentTarget.valueAsNumber || 0 })} />
        </label>
      )}
      {when === "change" && <Duration label={a("rule.within")} value={draft.value.within ?? "1m"} set={(within) => set({ within })} />}
      {WITH_DURATION.includes(when) && <Duration label={a(when === "no data" ? "rule.silent" : "rule.for")} value={draft.value.for ?? 0} set={(text) => set({ for: text })} />}
      <label>
        {a("rule.severity")}
        <select value={draft.value.severity ?? "warning"} onChange={(event) => set({ severity: event.currentTarget.value as Severity })}>
          {SEVERITIES.map((name) => (
            <option key={name} value={name}>
              {a(`severity.${name}`)}
            </option>
          ))}
        </select>
      </label>
      {when !== "gateway lost" && <List label={a("rule.tags")} value={draft.value.tags} set={(tags) => set({ tags })} />}
      {when !== "gateway lost" && <List label={a("rule.rooms")} value={draft.value.rooms} set={(rooms) => set({ rooms })} />}
      {when !== "gateway lost" && (views.value?.length ?? 0) > 0 && (
        <label>
          {a("rule.view")}
          <select value={draft.value.view ?? ""} onChange={(event) => set({ view: event.currentTarget.value })}>
            <option value="">{a("maintenance.all")}</option>
            {views.value?.map(({ id, view }) => (
              <option key={id} value={id} selected={id === draft.value.view}>
                {quote(view.title)}
              </option>
            ))}
          </select>
        </label>
      )}
      <label class="check">
        <input type="checkbox" checked={draft.value.enabled !== false} onChange={(event) => set({ enabled: event.currentTarget.checked })} /> {a("rule.enabled")}
      </label>
      <span class="buttons">
        <button type="submit" class="button primary">
          {a("save")}
        </button>
        <button type="button" class="button" onClick={cancel}>
          {a("cancel")}
        </button>
      </span>
    </form>
  );
}

/** The rule without the fields that its condition does not have. */
function fitting(rule: Rule): Rule {
  const { when } = rule;
  const kept: Rule = { ...rule };
  if (!WITH_RESOURCE.includes(when) || !kept.resource) delete kept.resource;
  if (!OF_NUMBERS.includes(when)) delete kept.limit;
  if (when !== "above" && when !== "below") delete kept.hysteresis;
  if (when !== "change") delete kept.within;
  if (!WITH_DURATION.includes(when)) delete kept.for;
  if (when === "gateway lost") {
    delete kept.tags;
    delete kept.rooms;
    delete kept.uids;
    delete kept.view;
  }
  return kept;
}

function Duration({ label, value, set }: { label: string; value: number | string; set: (text: string) => void }) {
  return (
    <label>
      {label}
      <input required value={typeof value === "number" ? `${value}s` : value} onInput={(event) => set(event.currentTarget.value)} />
      <small>{a("rule.duration")}</small>
    </label>
  );
}

function List({ label, value = [], set }: { label: string; value?: string[]; set: (list: string[]) => void }) {
  const words = (text: string) => text.split(",").map((word) => word.trim()).filter(Boolean);
  return (
    <label>
      {label}
      <input value={value.join(", ")} onChange={(event) => set(words(event.currentTarget.value))} />
      <small>{a("rule.list")}</small>
    </label>
  );
}

function Channels({ channels }: { channels: Channel[] }) {
  const results = useSignal<Record<string, string>>({});
  const test = async (name: string) => {
    const result = await testChannel(name).then(() => a("tested"));
    results.value = { ...results.value, [name]: result };
  };
  return (
    <section>
      <h3>{a("channels")}</h3>
      {channels.length === 0 && <p class="hint">{a("channels.none")}</p>}
      <ul class="rule-list">
        {channels.map(({ name, problem }) => (
          <li key={name}>
            <span>
              {visible(name)}
              <small role="status">{results.value[name] ?? visible(problem)}</small>
            </span>
            <button type="button" class="button" aria-label={a("test.of", { name: visible(name) })} onClick={() => void test(name)}>
              {a("test")}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
