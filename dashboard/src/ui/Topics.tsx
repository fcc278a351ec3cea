// SPDX-License-Identifier: BSD-3-Clause
/** "Map topics": the topics that nothing understands, the saved mappings, and a form that tries a message. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { guessRoles, newMappingId, putMapping, readMappings, removeMapping, rolesOf, type SavedMapping, type TopicMapping } from "../mappingsApi";
import { quote, visible } from "../model/text";
import { membership, state } from "../store";
import { Drawer } from "./Drawer";
import { overlay } from "./keys";
import { MappingForm, reasonOf, type Draft } from "./MappingForm";
import { m } from "../i18n/topics";
import "../topics.css";

export function Topics() {
  void membership.value;
  const saved = useSignal<SavedMapping[]>([]);
  const draft = useSignal<Draft | null>(null);
  const problem = useSignal("");
  const attempt = async (work: () => Promise<void>) => {
    problem.value = "";
    try {
      await work();
    } catch (error) {
      problem.value = reasonOf(error);
    }
  };
  const load = async () => {
    saved.value = await readMappings();
  };
  useEffect(() => void attempt(load), []);
  const save = (id: string, mapping: TopicMapping) =>
    attempt(async () => {
      await putMapping(id || newMappingId(mapping.topic, saved.peek().map((it) => it.id)), mapping);
      draft.value = null;
      await load();
    });
  const remove = (id: string) =>
    attempt(async () => {
      await removeMapping(id);
      await load();
    });
  return (
    <Drawer title={m("title")} kind="details small topics" close={() => (overlay.value = "")}>
      {problem.value && (
        <p class="bad" role="alert">
          {visible(problem.value)}
        </p>
      )}
      {draft.value ? (
        <MappingForm key={draft.value.id + draft.value.topic} draft={draft.value} save={save} cancel={() => (draft.value = null)} />
      ) : (
        <>
          <Unknown choose={(topic) => (draft.value = newDraft(topic))} />
          <Saved mappings={saved.value} edit={(it) => (draft.value = draftOf(it))} remove={(id) => void remove(id)} />
        </>
      )}
    </Drawer>
  );
}

/** The topics that nothing understands, the latest first. */
function Unknown({ choose }: { choose: (topic: string) => void }) {
  const topics = [...new Set([...state.gateways.values()].flatMap((it) => [...(it.ignored?.topics ?? [])].reverse()))];
  return (
    <section>
      <h3>{m("unknown")}</h3>
      {topics.length === 0 && <p class="hint">{m("unknown.none")}</p>}
      <ul class="topic-list">
        {topics.map((topic) => (
          <li key={topic}>
            <span>
              <code>{visible(topic)}</code>
            </span>
            <button type="button" class="button" aria-label={m("map.of", { name: visible(topic) })} onClick={() => choose(topic)}>
              {m("map")}
            </button>
          </li>
        ))}
      </ul>
      <p>
        <button type="button" class="button" onClick={() => choose("")}>
          {m("new")}
        </button>
      </p>
    </section>
  );
}

function Saved({ mappings, edit, remove }: { mappings: readonly SavedMapping[]; edit: (it: SavedMapping) => void; remove: (id: string) => void }) {
  return (
    <section>
      <h3>{m("saved")}</h3>
      {mappings.length === 0 && <p class="hint">{m("saved.none")}</p>}
      <ul class="topic-list">
        {mappings.map((it) => (
          <li key={it.id}>
            <span>
              <code>{visible(it.mapping.topic)}</code>
              <small>{it.editable ? visible(it.id) : m("file")}</small>
            </span>
            {it.editable && (
              <span class="buttons">
                <button type="button" class="button" aria-label={m("edit.of", { name: quote(it.mapping.topic) })} onClick={() => edit(it)}>
                  {m("edit")}
                </button>
                <button type="button" class="button" aria-label={m("remove.of", { name: quote(it.mapping.topic) })} onClick={() => remove(it.id)}>
                  {m("remove")}
                </button>
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

const newDraft = (topic: string): Draft => ({ id: "", topic, roles: guessRoles(topic, "text"), isGuess: true, mapping: { topic: "" } });

const draftOf = ({ id, mapping }: SavedMapping): Draft => ({ id, ...rolesOf(mapping.topic), isGuess: false, mapping });
