import { testOneshot } from "../harness/firmware-once.ts";

testOneshot("grub-bios");
