import { testDefault } from "./reboot-default.ts";

testDefault("forky");
