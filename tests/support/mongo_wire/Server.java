import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/**
 * An in-memory MongoDB wire server for the tests: {@code java Server PORT}, port 0 for any free one.
 *
 * <p>Prints {@code ready PORT} when it answers, and ends when its standard input does, so that it
 * never outlives the process that started it.
 */
public final class Server {
    /** The versions that ship with the server report a wire version that current drivers refuse. */
    private static final class FiveZero implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    }

    public static void main(String[] arguments) throws Exception {
        MongoServer server = new MongoServer(new MemoryBackend().version(new FiveZero()));
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        System.out.println("ready " + server.getLocalAddress().getPort());
        while (System.in.read() >= 0) {
            // Whatever is written to us means nothing, only the end of it does.
        }
        Runtime.getRuntime().halt(0);
    }
}
