import { testOneshot } from "./firmware-once.ts";

testOneshot("grub-bios");
