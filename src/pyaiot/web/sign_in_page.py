# SPDX-License-Identifier: BSD-3-Clause
"""The pages for signing in and out, in the languages of the dashboard. Pure."""

import base64
import hashlib
import re
from html import escape
from typing import Final

TEXTS: Final = {
    "en": {
        "title": "Sign in",
        "invited": "This link works once, on this device.",
        "button": "Sign in",
        "name": "Name",
        "password": "Password",
        "ask": "No account? Ask for an invitation link, or open the one that the broker printed.",
        "wrong": "Name or password is wrong.",
        "used": "This link is no longer valid. Ask for a new one.",
        "busy": "Too many attempts. Try again in a minute.",
    },
    "fr": {
        "title": "Connexion",
        "invited": "Ce lien fonctionne une seule fois, sur cet appareil.",
        "button": "Se connecter",
        "name": "Nom",
        "password": "Mot de passe",
        "ask": "Pas de compte ? Demandez un lien d’invitation, ou ouvrez celui que le serveur a"
        " affiché.",
        "wrong": "Nom ou mot de passe incorrect.",
        "used": "Ce lien n’est plus valable. Demandez-en un nouveau.",
        "busy": "Trop de tentatives. Réessayez dans une minute.",
    },
    "de": {
        "title": "Anmelden",
        "invited": "Dieser Link funktioniert einmal, auf diesem Gerät.",
        "button": "Anmelden",
        "name": "Name",
        "password": "Passwort",
        "ask": "Kein Konto? Bitten Sie um einen Einladungslink, oder öffnen Sie den, den der Server"
        " ausgegeben hat.",
        "wrong": "Name oder Passwort ist falsch.",
        "used": "Dieser Link ist nicht mehr gültig. Bitten Sie um einen neuen.",
        "busy": "Zu viele Versuche. Versuchen Sie es in einer Minute noch einmal.",
    },
}
"""By language; the languages are those of the dashboard."""

NAME_LENGTH_MAX: Final = 64
"""Longest name in the form, in characters. The rest is cut off when the form is shown again."""
_STYLE: Final = """
:root { color-scheme: light dark; --page: #f3f5f6; --card: #fff; --edge: #dde3e7; --ink: #14191f;
  --soft: #56616d; --accent: #0b6e68; --on-accent: #fff; --bad: #b0261b; }
@media (prefers-color-scheme: dark) { :root { --page: #0d1115; --card: #161c22; --edge: #29323b;
  --ink: #e9eef3; --soft: #9dabb8; --accent: #5fd0c3; --on-accent: #06201e; --bad: #ff938a; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 16px;
  font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); }
main { width: 100%; max-width: 360px; padding: 28px; border: 1px solid var(--edge);
  border-radius: 14px; background: var(--card); }
.brand { display: flex; align-items: center; gap: 10px; margin: 0 0 18px; font-weight: 650;
  color: var(--ink); overflow-wrap: anywhere; }
.brand svg { flex: none; width: 32px; height: 32px; }
h1 { margin: 0 0 4px; font-size: 22px; font-weight: 650; }
p { margin: 8px 0; color: var(--soft); }
p[role=alert] { color: var(--bad); }
label { display: block; margin-top: 14px; font-size: 14px; }
input { width: 100%; margin-top: 4px; padding: 10px 12px; font: inherit; color: inherit;
  border: 1px solid var(--edge); border-radius: 10px; background: var(--page); }
button { width: 100%; margin: 20px 0 8px; padding: 11px; font: inherit; font-weight: 600;
  color: var(--on-accent); border: 0; border-radius: 10px; background: var(--accent);
  cursor: pointer; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
"""
"""The colours are those of `dashboard/src/style.css`."""
_LOGO: Final = """\
<svg viewBox="0 0 32 32" fill="none" stroke-linecap="round" aria-hidden="true">
<rect width="32" height="32" rx="8" fill="#0b6e68"/>
<path d="M9 23c0-5 3-6.5 7-7s7-2 7-7" stroke="#8fe3d6" stroke-width="2.5"/>
<circle cx="9" cy="23" r="3.5" fill="#fff"/><circle cx="16" cy="16" r="2.5" fill="#8fe3d6"/>
<circle cx="23" cy="9" r="3.5" fill="#fff"/>
<path d="M7 14a11 11 0 0 1 7-7M25 18a11 11 0 0 1-7 7" stroke="#fff" stroke-opacity=".45"
 stroke-width="2"/>
</svg>"""
"""The same image as `dashboard/public/favicon.svg`: the page loads nothing, and a configured logo
may have any URL."""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri"
    " 'none'; form-action 'self'; frame-ancestors 'none'",
    # Without a referrer, a browser would send the form with `Origin: null`. The whole URL, which
    # may contain the secret of an invitation, would be in the logs of proxies.
    "Referrer-Policy": "origin",
    "X-Content-Type-Options": "nosniff",
}


def language(accepted: str) -> str:
    """The language of a page, by an `Accept-Language` header (RFC 9110 section 12.5.4)."""
    ranges = []
    for part in accepted[:200].split(","):
        tag, _, weight = part.strip().partition(";")
        found = re.fullmatch(r"\s*q=([01](?:\.[0-9]{0,3})?)\s*", weight)
        ranges.append((-float(found[1]) if found else -1.0, tag.strip().lower()[:2]))
    for order, tag in sorted(ranges, key=lambda item: item[0]):
        if tag in TEXTS and order < 0:
            return tag
    return "en"


def page(*, title: str, accepted: str, is_invited: bool, problem: str = "", name: str = "") -> str:
    """The page with a button for an invitation, or with a form for name and password.

    `title`: of the dashboard. `problem`: a key of the texts. `name`: the previous value of its
    field. The form has no action: it is sent to the URL of the page, which may contain the secret
    of an invitation.
    """
    tongue = language(accepted)
    texts = TEXTS[tongue]
    if is_invited:
        fields, hint = "", texts["invited"]
    else:
        # After a wrong password, only the password must be entered again.
        focus_of_name, focus_of_password = ("", " autofocus") if name else (" autofocus", "")
        value = escape(name[:NAME_LENGTH_MAX])
        fields = (
            f'<label>{texts["name"]}<input name="name" autocomplete="username" required'
            f'{focus_of_name} autocapitalize="none" maxlength="{NAME_LENGTH_MAX}"'
            f' value="{value}"></label>'
            f'<label>{texts["password"]}<input name="password" type="password" required'
            f'{focus_of_password} autocomplete="current-password" maxlength="1024"></label>'
        )
        hint = texts["ask"]
    alert = f'<p role="alert">{texts[problem]}</p>' if problem else ""
    focus = " autofocus" if is_invited else ""
    return f"""<!doctype html>
<html lang="{tongue}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{texts["title"]} – {escape(title)}</title>
<style>{_STYLE}</style>
<main>
<p class="brand">{_LOGO}<span>{escape(title)}</span></p>
<h1>{texts["title"]}</h1>
{alert}
<form method="post">{fields}<button{focus}>{texts["button"]}</button></form>
<p>{hint}</p>
</main>
</html>
"""
