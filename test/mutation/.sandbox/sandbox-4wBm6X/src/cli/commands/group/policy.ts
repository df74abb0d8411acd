// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { hintUnrecorded } from "../machine/governed.ts";
import { parseTerms, TERMS_OPTIONS } from "../machine/terms.ts";

export const command = defineCommand({
  name: "group policy",
  summary: "what must hold for the machines of a group, or for new ones, to be released",
  operands: "NAME|default always|alive|lease|approval|inherit",
  minOperands: 2,
  maxOperands: 2,
  options: { ...TERMS_OPTIONS, admin: ADMIN_OPTION },
  details: `The policies and the limits are those of nightlatch machine policy. They hold at once for every machine of the group, or,
where one of them cannot have it, for none; what was said of a machine itself comes before what is said of its group.
inherit: nothing is said of the group any more; its machines get what new ones do.
The group default is of machines that are to come: it says what one begins with when it enrols. Those that are there stay
as they are.`,
  async run({ operands, options, system, terminal }) {
    const [name = "", policy = ""] = operands;
    const { word, body } = parseTerms(policy, options);
    const answer = await askServer(system, options.admin, "POST", ["groups", name, "policy"], body);
    const whose = name === "default" ? "machines that enrol from now on" : `the group ${name}`;
    const what = word === "inherit" ? "is none of its own" : `is ${word}`;
    terminal.line(
      answer["changed"] === true
        ? `The policy of ${whose} ${what}. See: nightlatch group show ${name}`
        : `The policy of ${whose} ${what.replace("is", "was")} already.`,
    );
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
