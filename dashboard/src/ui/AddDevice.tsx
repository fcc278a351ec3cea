// SPDX-License-Identifier: BSD-3-Clause
/** "Add a device": a name and a protocol, then the code to paste, then its first value. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { addDevice, ApiProblem, devices, editNode, type AddedDevice, type DeviceProtocol } from "../registryApi";
import { problemText } from "./problemText";
import { findNode } from "../model/state";
import { navigate } from "../route";
import { membership, state } from "../store";
import { Copy, CopyButton } from "./Copy";
import { Drawer } from "./Drawer";
import { overlay } from "./keys";
import { d, type DeviceKey } from "../i18n/devices";
import { language, t } from "../i18n";
import "../devices.css";

const close = () => (overlay.value = "");
const UID = "[A-Za-z0-9][A-Za-z0-9._:\\-]{0,63}";

export function AddDevice() {
  const protocols = useSignal<DeviceProtocol[] | null>(null);
  const elsewhere = useSignal(false);
  const problem = useSignal("");
  const added = useSignal<AddedDevice | null>(null);
  useEffect(() => {
    devices().then(
      (found) => {
        protocols.value = found.protocols;
        elsewhere.value = !found.is_here;
      },
      (error: unknown) => (problem.value = reason(error)),
    );
  }, []);
  const title = added.value ? d("of", { name: added.value.uid }) : d("title");
  return (
    <Drawer title={title} kind="details small devices" close={close}>
      {problem.value && <p role="alert">{problem.value}</p>}
      {elsewhere.value && (
        <>
          <p>{d("elsewhere")}</p>
          <Copy text="aiot device add NAME" />
        </>
      )}
      {protocols.value && !elsewhere.value && !added.value && <NameIt protocols={protocols.value} done={(it) => (added.value = it)} />}
      {added.value && <PasteIt added={added.value} />}
    </Drawer>
  );
}

/** First step: its name, and how it connects. */
function NameIt({ protocols, done }: { protocols: DeviceProtocol[]; done: (added: AddedDevice) => void }) {
  const problem = useSignal("");
  const busy = useSignal(false);
  const add = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    busy.value = true;
    problem.value = "";
    try {
      done(await addDevice(text(form, "uid"), text(form, "protocol"), language.peek()));
    } catch (error) {
      problem.value = reason(error);
    }
    busy.value = false;
  };
  return (
    <form onSubmit={(event) => void add(event)}>
      <label class="field">
        <span>{d("name")}</span>
        <input class="input" name="uid" required maxLength={64} pattern={UID} autocomplete="off" autocapitalize="off" spellcheck={false} aria-describedby="device-name" autofocus />
      </label>
      <p id="device-name" class="soft">
        {d("name.hint")}
      </p>
      <fieldset>
        <legend>{d("protocol")}</legend>
        {protocols.map(({ name, title, has_credentials }, index) => (
          <label key={name} class="check">
            <input type="radio" name="protocol" value={name} checked={index === 0} />
            <span>
              {title}
              {title.toLowerCase() !== name && <code>{name}</code>}
              {!has_credentials && <span class="soft"> {d("none")}</span>}
            </span>
          </label>
        ))}
      </fieldset>
      {problem.value && <p role="alert">{problem.value}</p>}
      <div class="buttons">
        <button type="button" class="button" onClick={close}>
          {t("cancel")}
        </button>
        <button type="submit" class="button primary" disabled={busy.value}>
          {d("add")}
        </button>
      </div>
    </form>
  );
}

/** Second step: the code for a board; it waits for the node. */
function PasteIt({ added }: { added: AddedDevice }) {
  const board = useSignal(added.snippets[0]?.board ?? "");
  void membership.value;
  const node = findNode(state, added.uid);
  const isHere = node !== null && node !== undefined && !node.left;
  const code = added.snippets.find((it) => it.board === board.value)?.text ?? "";
  return (
    <>
      {added.secret && (
        <>
          <p>{d("once")}</p>
          <Copy text={added.secret} />
        </>
      )}
      <details open={!added.secret || added.snippets.length < 2}>
        <summary>{d("how")}</summary>
        <p class="summary">{added.summary}</p>
      </details>
      {added.is_local_only && <p class="soft">{d("local")}</p>}
      <div class="segmented" role="group" aria-label={d("board")}>
        {added.snippets.map((it) => (
          <button key={it.board} type="button" aria-pressed={it.board === board.value} onClick={() => (board.value = it.board)}>
            {d(`board.${it.board}` as DeviceKey)}
          </button>
        ))}
      </div>
      <pre class="snippet" tabIndex={0} aria-label={d("code")}>
        {code}
      </pre>
      <div class="buttons">
        <CopyButton key={board.value} text={code} />
      </div>
      <p role="status" class={isHere ? "here" : "waiting"}>
        {isHere ? d("here") : d("waiting")}
      </p>
      {isHere && <Label uid={added.uid} />}
    </>
  );
}

/** Last step: what people call it. */
function Label({ uid }: { uid: string }) {
  const problem = useSignal("");
  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    const label = text(event.currentTarget as HTMLFormElement, "label").trim();
    try {
      if (label) await editNode(uid, { label });
      close();
      navigate({ node: uid });
    } catch (error) {
      problem.value = reason(error);
    }
  };
  return (
    <form onSubmit={(event) => void save(event)}>
      <label class="field">
        <span>{d("label")}</span>
        <input class="input" name="label" maxLength={64} autocomplete="off" />
      </label>
      {problem.value && <p role="alert">{problem.value}</p>}
      <div class="buttons">
        <button type="submit" class="button primary">
          {d("show")}
        </button>
      </div>
    </form>
  );
}

/** The text of a field of a form. */
function text(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name);
  return typeof value === "string" ? value : "";
}

function reason(error: unknown): string {
  if (!(error instanceof ApiProblem)) throw error;
  return error.kind === "unreachable" ? d("unreachable") : problemText(error);
}
