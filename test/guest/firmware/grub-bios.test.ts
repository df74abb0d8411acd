import { testEntries } from "../harness/firmware-entries.ts";

testEntries("grub-bios");
