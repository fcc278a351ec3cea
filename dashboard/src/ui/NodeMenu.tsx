// SPDX-License-Identifier: BSD-3-Clause
/** What can be done with a node, as a list: for touch screens, where the head of a card has no room. */
import { mayEdit } from "../info";
import { layout, togglePin } from "../layout";
import { nodeTitle, quote, visible } from "../model/text";
import { navigate } from "../route";
import { hideNode } from "../store";
import { moveBy } from "./arrange";
import { menu } from "./Card";
import { startRenaming } from "./renaming";
import { Drawer } from "./Drawer";
import { h } from "../i18n/home";

export function NodeMenu() {
  const node = menu.value;
  if (!node) return null;
  const close = () => (menu.value = null);
  const item = (label: string, act: (event: Event) => void) => (
    <button
      type="button"
      onClick={(event) => {
        close();
        act(event);
      }}
    >
      {label}
    </button>
  );
  const isPinned = layout.value.pins.includes(node.uid);
  return (
    <Drawer title={h("menu.of", { name: quote(nodeTitle(node)) })} kind="details small node-menu" close={close} head={<h2 class="cut">{nodeTitle(node)}</h2>}>
      <p class="soft uid">{visible(node.uid)}</p>
      <div class="menu-items">
        {item(h("details"), () => navigate({ node: node.uid }))}
        {item(h(isPinned ? "unpin" : "pin"), () => togglePin(node.uid))}
        {item(h("earlier"), () => moveBy(node.uid, -1))}
        {item(h("later"), () => moveBy(node.uid, 1))}
        {mayEdit.value && node.registered && item(h("rename"), (event) => startRenaming(event, node, "card"))}
        {item(h("hide"), () => hideNode(node))}
      </div>
    </Drawer>
  );
}
