// SPDX-License-Identifier: BSD-3-Clause
/**
 * The editor of a script, in a shadow root: its style sheets are objects there, which the content
 * security policy allows. Differences from the script on the node are marked. Tab leaves the editor.
 */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { Decoration, EditorView, drawSelection, keymap, lineNumbers, ViewPlugin, WidgetType, type DecorationSet } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { HIDDEN, visible } from "./model/text";

export interface EditorOptions {
  text: string;
  /** The script on the node. */
  original: string;
  label: string;
  changed: (text: string) => void;
  send: () => void;
  leave: () => void;
}

export interface Editor {
  text: () => string;
  destroy: () => void;
}

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword], color: "var(--axis-z)" },
  { tag: [tags.string, tags.regexp], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--axis-y)" },
  { tag: tags.comment, color: "var(--soft)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.propertyName], color: "var(--accent)" },
]);

const look = EditorView.theme({
  "&": { fontSize: "13.5px", backgroundColor: "var(--sunk)", color: "var(--ink)", borderRadius: "10px", border: "1px solid var(--edge)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", minHeight: "150px", maxHeight: "46vh", overflow: "auto" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--soft)", border: "0" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 28%, transparent) !important" },
  ".cm-changedLine": { backgroundColor: "color-mix(in srgb, var(--good) 14%, transparent) !important" },
  ".cm-deletedChunk": { backgroundColor: "color-mix(in srgb, var(--bad) 12%, transparent)", color: "var(--ink)" },
});

class Mark extends WidgetType {
  constructor(private readonly text: string) {
    super();
  }
  toDOM(): HTMLElement {
    const mark = document.createElement("span");
    mark.className = "cm-mark";
    mark.textContent = this.text;
    return mark;
  }
}

function marksIn(view: EditorView): DecorationSet {
  return Decoration.set(
    view.visibleRanges.flatMap(({ from, to }) =>
      [...view.state.sliceDoc(from, to).matchAll(HIDDEN)].map(({ index, 0: hidden }) =>
        Decoration.replace({ widget: new Mark(visible(hidden)) }).range(from + index, from + index + hidden.length),
      ),
    ),
  );
}

/** Hidden characters are marks in the text, and in deleted text, which the comparison draws as it is. */
const marks = ViewPlugin.define(
  (view) => {
    const markDeleted = () => {
      for (const { childNodes } of view.dom.querySelectorAll(".cm-deletedLine *"))
        for (const text of childNodes) if (text instanceof Text && text.data.search(HIDDEN) >= 0) text.data = visible(text.data);
    };
    const watch = new MutationObserver(markDeleted);
    watch.observe(view.dom, { childList: true, subtree: true });
    return {
      marked: marksIn(view),
      update({ docChanged, viewportChanged }) {
        if (docChanged || viewportChanged) this.marked = marksIn(view);
      },
      destroy: () => watch.disconnect(),
    };
  },
  { decorations: ({ marked }) => marked },
);

export function makeEditor(place: HTMLElement, options: EditorOptions): Editor {
  const root = place.shadowRoot ?? place.attachShadow({ mode: "open" });
  root.replaceChildren();
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        lineNumbers(),
        history(),
        drawSelection(),
        marks,
        bracketMatching(),
        javascript(),
        syntaxHighlighting(colours),
        look,
        unifiedMergeView({ original: options.original, mergeControls: false, gutter: true }),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": options.label }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.changed(update.state.doc.toString());
        }),
        keymap.of([
          { key: "Mod-Enter", run: () => (options.send(), true) },
          { key: "Escape", run: () => (options.leave(), true), stopPropagation: true },
          ...defaultKeymap,
          ...historyKeymap,
        ]),
      ],
    }),
  });
  return { text: () => view.state.doc.toString(), destroy: () => view.destroy() };
}
