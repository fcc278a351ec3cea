// SPDX-License-Identifier: BSD-3-Clause
/** Who is signed in, signing out, and for administrators who has access. */
import { signal, useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { invite, qrRows, readAccess, removeAccess, signOut, type AccessEntry, type Role } from "../accessApi";
import { info } from "../info";
import { quote } from "../model/text";
import { problemText } from "./problemText";
import { CopyButton } from "./Copy";
import { Drawer } from "./Drawer";
import { overlay } from "./keys";
import { language, t, type Key } from "../i18n";
import { au } from "../i18n/audit";
import "../more.css";
import "../account.css";

const ROLES: readonly Role[] = ["viewer", "operator", "admin"];
const DAY_S = 86_400;
const LIVES: readonly [seconds: number, name: Key][] = [
  [DAY_S, "account.day"],
  [7 * DAY_S, "account.week"],
  [28 * DAY_S, "account.weeks"],
];
const KINDS: readonly AccessEntry["kind"][] = ["user", "token", "gateway", "invitation", "session"];

/** Counts invitations, each of which is in the list of access. */
const changed = signal(0);

const close = () => (overlay.value = "");

export function Account() {
  const it = info.value;
  if (!it) return null;
  const isAdmin = it.role === "admin";
  return (
    <Drawer title={t("account.title")} kind="details small account" close={close}>
      <p class="who">
        <b>{it.access === "anonymous" ? t("account.anonymous") : it.user ? quote(it.user) : t("account.invited")}</b>
        {` · ${t(`account.role.${it.role ?? "viewer"}`)}`}
        {scopeOf(it).map((part) => ` · ${part}`)}
      </p>
      <div class="buttons">
        {it.access === "anonymous" ? (
          <a class="button primary" href="login">
            {t("account.sign_in")}
          </a>
        ) : (
          <>
            <button type="button" class="button" onClick={() => void signOut(false)}>
              {t("account.sign_out")}
            </button>
            {it.user && (
              <button type="button" class="button" onClick={() => void signOut(true)}>
                {t("account.everywhere")}
              </button>
            )}
          </>
        )}
        {isAdmin && (
          <a class="button" href="#/audit" onClick={close}>
            {au("open")}
          </a>
        )}
      </div>
      {isAdmin && <Invite />}
      {isAdmin && <Access />}
    </Drawer>
  );
}

function Invite() {
  const role = useSignal<Role>("viewer");
  const tags = useSignal("");
  const gateways = useSignal("");
  const life = useSignal(DAY_S);
  const link = useSignal("");
  const rows = useSignal<string[]>([]);
  const problem = useSignal("");
  const submit = async (event: Event) => {
    event.preventDefault();
    problem.value = link.value = "";
    try {
      const wanted = { role: role.value, tags: words(tags.value), gateways: words(gateways.value), expires_s: life.value };
      const made = await invite(wanted);
      rows.value = await qrRows(made);
      link.value = made;
      changed.value += 1;
    } catch (error) {
      problem.value = problemText(error);
    }
  };
  return (
    <section>
      <h3>{t("account.invite")}</h3>
      <form class="invite" onSubmit={(event) => void submit(event)}>
        <label class="field">
          <span>{t("account.role")}</span>
          <select value={role.value} onChange={(event) => (role.value = event.currentTarget.value as Role)}>
            {ROLES.map((name) => (
              <option key={name} value={name}>
                {t(`account.role.${name}`)}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          <span>{t("account.expires")}</span>
          <select value={String(life.value)} onChange={(event) => (life.value = Number(event.currentTarget.value))}>
            {LIVES.map(([seconds, name]) => (
              <option key={seconds} value={String(seconds)}>
                {t(name)}
              </option>
            ))}
          </select>
        </label>
        {role.value !== "admin" && (
          <>
            <Words label={t("account.tags")} value={tags} />
            <Words label={t("account.gateways")} value={gateways} />
            <p class="hint">{t("account.scope_hint")}</p>
          </>
        )}
        <button type="submit" class="button primary">
          {t("account.make")}
        </button>
      </form>
      <div role="status">
        {problem.value && <p class="bad">{t("problem.failed", { reason: problem.value })}</p>}
        {link.value && (
          <div class="invitation">
            <QrCode rows={rows.value} />
            <p>{t("account.once")}</p>
            <code>{link.value}</code>
            <CopyButton text={link.value} />
          </div>
        )}
      </div>
    </section>
  );
}

function Words({ label, value }: { label: string; value: Signal<string> }) {
  return (
    <label class="field">
      <span>{label}</span>
      <input class="input" autocomplete="off" value={value.value} onInput={(event) => (value.value = event.currentTarget.value)} />
    </label>
  );
}

const words = (text: string): string[] =>
  text
    .split(",")
    .map((word) => word.trim())
    .filter(Boolean);

function QrCode({ rows }: { rows: string[] }) {
  const path = rows.flatMap((row, y) => [...row].map((module, x) => (module === "1" ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return (
    <svg class="qr" viewBox={`0 0 ${rows.length} ${rows.length}`} role="img" aria-label={t("account.qr")} shape-rendering="crispEdges">
      <path d={path} />
    </svg>
  );
}

function Access() {
  const entries = useSignal<AccessEntry[] | null>(null);
  const problem = useSignal("");
  const load = () =>
    readAccess().then(
      (found) => (entries.value = found),
      (error: unknown) => (problem.value = problemText(error)),
    );
  useEffect(() => void load(), [changed.value]);
  const remove = (entry: AccessEntry) =>
    removeAccess(entry)
      .catch((error: unknown) => (problem.value = problemText(error)))
      .then(load);
  return (
    <>
      {problem.value && <p class="bad">{t("problem.failed", { reason: problem.value })}</p>}
      {KINDS.map((kind) => {
        const found = entries.value?.filter((entry) => entry.kind === kind) ?? [];
        if (!found.length) return null;
        return (
          <section key={kind}>
            <h3>{t(`account.kind.${kind}`)}</h3>
            <ul class="access">
              {found.map((entry) => {
                const name = entry.name ? quote(entry.name) : kind === "invitation" ? t("account.link", { id: entry.id.slice(0, 4) }) : t("account.invited");
                return (
                  <li key={entry.id}>
                    <span>
                      <b>{name}</b>
                      {entry.own && ` (${t("account.own")})`}
                      <small>{details(entry)}</small>
                    </span>
                    <button type="button" class="button small" aria-label={t("account.remove_of", { name })} onClick={() => void remove(entry)}>
                      {t("account.remove")}
                    </button>
                  </li>
                );
              })}
            </ul>
          </section>
        );
      })}
    </>
  );
}

/** The tags and the gateways of a scope, if it has some. */
function scopeOf({ scope_tags = [], scope_gateways = [] }: Pick<AccessEntry, "scope_tags" | "scope_gateways">): string[] {
  const parts: readonly [Key, string[]][] = [
    ["account.scope_tags", scope_tags],
    ["account.scope_gateways", scope_gateways],
  ];
  return parts.filter(([, names]) => names.length).map(([key, names]) => t(key, { names: names.map(quote).join(", ") }));
}

/** Role, scope and expiry. */
function details({ role, expires, ...scope }: AccessEntry): string {
  const date = expires === undefined ? "" : new Date(expires * 1000).toLocaleDateString(language.value);
  const until = date && t(expires !== undefined && expires * 1000 < Date.now() ? "account.expired" : "account.until", { date });
  return [role ? t(`account.role.${role}`) : "", ...scopeOf(scope), until].filter(Boolean).join(" · ");
}

