#!/bin/bash
# Gives clevis in the initramfs a deadline, and has the console say what is waited for. Without clevis it adds nothing.

check() {
  return 0
}

depends() {
  return 0
}

install() {
  if ! dracut_module_included clevis || ! dracut_module_included systemd; then return 0; fi
  inst_simple /usr/share/nightlatch/initramfs/curlrc /etc/nightlatch/.curlrc
  inst_simple /usr/share/nightlatch/initramfs/wait /usr/libexec/nightlatch-wait
  # shellcheck disable=SC2154 # dracut's own variables
  inst_simple "$moddir/clevis.conf" "$systemdsystemunitdir/clevis-luks-askpass.service.d/nightlatch.conf"
  inst_simple "$moddir/nightlatch-wait.service" "$systemdsystemunitdir/nightlatch-wait.service"
  inst_multiple sleep
}
