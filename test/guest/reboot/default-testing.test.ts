import { testDefault } from "../harness/reboot-default.ts";

testDefault("forky");
