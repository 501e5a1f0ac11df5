# rsync's client, with the stdin and stdout of this shell as its way to the server.
#
# The first line that it prints is the command of the server. What follows is rsync's. The way ends
# when the server's side does: the client waits for that.
# It runs in a pod's exec, so every program is called by its path.
exec 3<&0 4>&1
export WAY='shift; exec 5<&0; echo "$*" >&4; /bin/cat <&5 >&4 & /bin/cat <&3 4>&-; kill $!'
exec /usr/bin/rsync --rsh="/bin/dash -c 'eval \"\$WAY\"' way" "$@" /volume/ there:/volume/
