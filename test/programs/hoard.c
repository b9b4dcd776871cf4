/* hoard ADDRESS PORT COUNT: opens COUNT connections, says nothing on any of them, prints how many were accepted, and holds them until
   it is killed. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1) return 2;
    int wanted = atoi(argv[3]), open = 0;
    for (int i = 0; i < wanted; i++) {
        int connection = socket(AF_INET, SOCK_STREAM, 0);
        if (connection >= 0 && connect(connection, (struct sockaddr *)&peer, sizeof peer) == 0) open++;
    }
    printf("%d connections\n", open);
    fflush(stdout);
    pause();
}
