import { testEntries } from "./firmware-entries.ts";

testEntries("systemd-boot");
