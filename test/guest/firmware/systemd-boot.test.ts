import { testEntries } from "../harness/firmware-entries.ts";

testEntries("systemd-boot");
