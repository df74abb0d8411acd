#!/bin/sh
# How the captured files of this folder were made: on Debian 12 (grub-common 2.06-13), kernels 6.1.0-50 and 6.1.0-49 in /boot.
# usage: make.sh FOLDER
set -e
grub-mkconfig > "$1/grub-debian12.cfg"
sed -i 's/^GRUB_DEFAULT=0/GRUB_DEFAULT=saved\nGRUB_SAVEDEFAULT=true/' /etc/default/grub
grub-mkconfig > "$1/grub-debian12-saved.cfg"
grub-editenv "$1/grubenv" create
grub-editenv "$1/grubenv" set 'saved_entry=gnulinux-advanced-/dev/vda>gnulinux-6.1.0-49-amd64-advanced-/dev/vda' 'odd=a\b' next_entry=
