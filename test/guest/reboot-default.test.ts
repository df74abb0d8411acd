import { testDefault } from "./reboot-default.ts";

testDefault("bookworm");
testDefault("trixie");
