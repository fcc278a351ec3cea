// SPDX-License-Identifier: BSD-3-Clause
/** Confirmation of an action on many nodes. */
import { question } from "../store";
import { Drawer } from "./Drawer";
import { t } from "../i18n";
import "../more.css";

const close = () => (question.value = null);

export function QuestionDialog() {
  const it = question.value;
  if (!it) return null;
  return (
    <Drawer title={it.title} kind="details small question" close={close}>
      <p>{it.text}</p>
      <div class="buttons">
        <button type="button" class="button" onClick={close}>
          {t("cancel")}
        </button>
        <button
          type="button"
          class="button primary"
          onClick={() => {
            close();
            it.act();
          }}
        >
          {it.action}
        </button>
      </div>
    </Drawer>
  );
}
