import { testEntries } from "./firmware-entries.ts";

testEntries("grub-efi");
