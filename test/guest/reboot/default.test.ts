import { testDefault } from "../harness/reboot-default.ts";

testDefault("bookworm");
testDefault("trixie");
