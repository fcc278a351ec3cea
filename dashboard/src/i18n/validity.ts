// SPDX-License-Identifier: BSD-3-Clause
/** What is wrong with the input of a field; the English texts define the keys. */
import { texts } from "./texts";

const en = {
  valueMissing: "Fill in this field.",
  badInput: "Enter a number.",
  badTime: "Enter a date and a time.",
  rangeUnderflow: "Enter {limit} or more.",
  rangeOverflow: "Enter {limit} or less.",
  stepMismatch: "Enter a value in steps of {step}.",
  tooShort: "Enter at least {limit} characters.",
  tooLong: "Enter at most {limit} characters.",
  patternMismatch: "This input does not have the expected form.",
};

export type ValidityKey = keyof typeof en;

const fr: Record<ValidityKey, string> = {
  valueMissing: "Remplissez ce champ.",
  badInput: "Saisissez un nombre.",
  badTime: "Saisissez une date et une heure.",
  rangeUnderflow: "Saisissez {limit} ou plus.",
  rangeOverflow: "Saisissez {limit} ou moins.",
  stepMismatch: "Saisissez une valeur par pas de {step}.",
  tooShort: "Saisissez au moins {limit} caractères.",
  tooLong: "Saisissez au plus {limit} caractères.",
  patternMismatch: "Cette saisie n’a pas la forme attendue.",
};

const de: Record<ValidityKey, string> = {
  valueMissing: "Füllen Sie dieses Feld aus.",
  badInput: "Geben Sie eine Zahl ein.",
  badTime: "Geben Sie Datum und Uhrzeit ein.",
  rangeUnderflow: "Geben Sie {limit} oder mehr ein.",
  rangeOverflow: "Geben Sie {limit} oder weniger ein.",
  stepMismatch: "Geben Sie einen Wert in Schritten von {step} ein.",
  tooShort: "Geben Sie mindestens {limit} Zeichen ein.",
  tooLong: "Geben Sie höchstens {limit} Zeichen ein.",
  patternMismatch: "Diese Eingabe hat nicht die erwartete Form.",
};

/** The text for `key`, with the values replaced. */
export const vt = texts({ en, fr, de });
