// SPDX-License-Identifier: BSD-3-Clause
/** Times in which nobody is notified of some nodes, for administrators. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { addMaintenance, readMaintenance, removeMaintenance, REPEATS, type Maintenance, type MaintenanceWindow } from "../alertsApi";
import { problemText } from "./problemText";
import { natural } from "../model/order";
import { quote, visible } from "../model/text";
import { membership, second, state } from "../store";
import { timeOf } from "../i18n";
import { a } from "../i18n/alerts";

const LENGTHS_H = [1, 2, 4, 8, 24] as const;
const HOUR_S = 3600;

export function MaintenanceWindows() {
  const windows = useSignal<MaintenanceWindow[]>([]);
  const isEdited = useSignal(false);
  const problem = useSignal("");
  const attempt = async (work: () => Promise<void>) => {
    problem.value = "";
    try {
      await work();
      windows.value = await readMaintenance();
    } catch (error) {
      problem.value = problemText(error);
    }
  };
  useEffect(() => void attempt(() => Promise.resolve()), []);
  void second.value; // one may begin or end
  return (
    <section>
      <h3>{a("maintenance")}</h3>
      <p class="hint">{a("maintenance.hint")}</p>
      {problem.value && (
        <p class="bad" role="alert">
          {problem.value}
        </p>
      )}
      <ul class="rule-list">
        {windows.value.map(({ id, maintenance: it }) => (
          <li key={id} data-window={id}>
            <span>
              {quote(it.title)}
              <small>{[isNow(it) && a("maintenance.now"), span(it), targets(it)].filter(Boolean).join(" · ")}</small>
            </span>
            <button type="button" class="button" aria-label={a("maintenance.end_of", { name: quote(it.title) })} onClick={() => void attempt(() => removeMaintenance(id))}>
              {a(isNow(it) ? "maintenance.end" : "remove")}
            </button>
          </li>
        ))}
      </ul>
      {isEdited.value ? (
        <WindowForm
          save={(it) =>
            attempt(async () => {
              await addMaintenance(it);
              isEdited.value = false;
            })
          }
          cancel={() => (isEdited.value = false)}
        />
      ) : (
        <p>
          <button type="button" class="button" onClick={() => (isEdited.value = true)}>
            {a("maintenance.add")}
          </button>
        </p>
      )}
    </section>
  );
}

const PERIODS_S: Record<string, number> = { daily: 86_400, weekly: 604_800 };

function isNow({ start, end, repeat = "once" }: Maintenance): boolean {
  const now = Date.now() / 1000;
  const period = PERIODS_S[repeat];
  return now >= start && (period ? (now - start) % period : now - start) < end - start;
}

const span = ({ start, end, repeat = "once" }: Maintenance): string => `${timeOf(start)} – ${timeOf(end)}${repeat === "once" ? "" : ` · ${a(`repeat.${repeat}`)}`}`;

const targets = ({ tags = [], rooms = [], uids = [], gateways = [] }: Maintenance): string =>
  [...tags.map((tag) => `#${tag}`), ...rooms, ...uids, ...gateways].map(visible).join(", ") || a("maintenance.all");

/** What a form can name: everything, a tag, a room, a gateway; as `kind:name`. */
function choices(): [value: string, text: string][] {
  void membership.value;
  const all = [...state.registry.values()];
  const distinct = (names: string[]) => [...new Set(names)].filter(Boolean).sort(natural);
  return [
    ...distinct(all.flatMap(({ tags }) => tags)).map((tag): [string, string] => [`tags:${tag}`, `#${quote(tag)}`]),
    ...distinct(all.map(({ room }) => room)).map((room): [string, string] => [`rooms:${room}`, quote(room)]),
    ...distinct(all.map(({ gateway }) => gateway)).map((name): [string, string] => [`gateways:${name}`, a("gateway", { name: quote(name) })]),
  ];
}

/** Local time, as a field for it has it. */
const localTime = (ts: number): string => new Date(ts * 1000 - new Date(ts * 1000).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

function WindowForm({ save, cancel }: { save: (it: Maintenance) => Promise<void>; cancel: () => void }) {
  const title = useSignal("");
  const start = useSignal(localTime(Date.now() / 1000));
  const hours = useSignal(1);
  const repeat = useSignal<(typeof REPEATS)[number]>("once");
  const target = useSignal("");
  const submit = (event: Event) => {
    event.preventDefault();
    const from = Math.floor(new Date(start.peek()).getTime() / 1000);
    const [kind, ...name] = target.peek().split(":");
    void save({
      title: title.peek(),
      start: from,
      end: from + hours.peek() * HOUR_S,
      repeat: repeat.peek(),
      ...(kind ? { [kind]: [name.join(":")] } : {}),
    });
  };
  return (
    <form class="rule-form" onSubmit={submit}>
      <label class="wide">
        {a("rule.title")}
        <input required maxLength={64} value={title} onInput={(event) => (title.value = event.currentTarget.value)} />
      </label>
      <label>
        {a("maintenance.from")}
        <input required type="datetime-local" value={start} onInput={(event) => (start.value = event.currentTarget.value)} />
      </label>
      <label>
        {a("maintenance.for")}
        <select value={hours} onChange={(event) => (hours.value = Number(event.currentTarget.value))}>
          {LENGTHS_H.map((length) => (
            <option key={length} value={length}>
              {length} h
            </option>
          ))}
        </select>
      </label>
      <label>
        {a("maintenance.repeat")}
        <select value={repeat} onChange={(event) => (repeat.value = event.currentTarget.value as (typeof REPEATS)[number])}>
          {REPEATS.map((name) => (
            <option key={name} value={name}>
              {a(`repeat.${name}`)}
            </option>
          ))}
        </select>
      </label>
      <label>
        {a("maintenance.nodes")}
        <select value={target} onChange={(event) => (target.value = event.currentTarget.value)}>
          <option value="">{a("maintenance.all")}</option>
          {choices().map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
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
