// Walks a declarative Jenkinsfile as Jenkins would in a situation, and prints what it would do.
//   groovy walk.groovy Jenkinsfile '{"change": true, "branch": "PR-7", "params": {…}}'
// Whatever is no section, no step or no condition that we use is an error that names it.
import groovy.json.JsonOutput
import groovy.json.JsonSlurper

class Place {
    String what
    Map situation

    def run(Closure body) {
        body.delegate = this
        body.resolveStrategy = Closure.DELEGATE_ONLY
        body.call()
    }

    def methodMissing(String name, arguments) { throw new IllegalArgumentException("Unknown '${name}' in ${what}") }

    def getParams() { situation.params }

    def getEnv() { situation.env }
}

class Agent extends Place {
    List labels = []
    def label(String name) { labels << name }
}

class Options extends Place {
    List found = []
    def disableConcurrentBuilds() { found << 'disableConcurrentBuilds' }
    def skipStagesAfterUnstable() { found << 'skipStagesAfterUnstable' }
    def lock(Map how) { found << "lock ${how.resource}".toString() }
    def logRotator(Map how) { how }
    def buildDiscarder(Map how) { found << 'buildDiscarder' }
    def timeout(Map how) {
        if (!(how.unit in ['SECONDS', 'MINUTES', 'HOURS'])) throw new IllegalArgumentException("Unknown unit '${how.unit}'")
        found << 'timeout'
    }
}

class Parameters extends Place {
    List names = []
    def choice(Map how) { if (!how.choices) throw new IllegalArgumentException("No choices of ${how.name}"); names << how.name }
    def booleanParam(Map how) { names << how.name }
}

class Variables extends Place {
    Map values = [:]
    def credentials(String id) { "the credential ${id}".toString() }
    void setProperty(String name, value) { name in ['what', 'situation'] ? (this.@"$name" = value) : (values[name] = value.toString()) }
}

class When extends Place {
    boolean holds = true
    int conditions = 0
    def changeRequest() { also(situation.change) }
    def branch(String name) { also(situation.branch == name) }
    def expression(Closure body) {
        body.delegate = this
        body.resolveStrategy = Closure.DELEGATE_ONLY
        also(body.call())
    }
    def beforeAgent(boolean _) { }
    private void also(value) { conditions++; holds = holds && value }
}

class Steps extends Place {
    List done
    String stage
    int tries = 1
    def sh(String command) { done << [stage: stage, step: 'sh', text: command, tries: tries] }
    def echo(String text) { done << [stage: stage, step: 'echo', text: text, tries: tries] }
    def archiveArtifacts(Map how) { done << [stage: stage, step: 'archiveArtifacts', text: how.artifacts, tries: tries] }
    def retry(int count, Closure body) {
        def before = tries
        tries = count
        run(body)
        tries = before
    }
}

class Post extends Place {
    List done
    String stage
    private void inside(Closure body) { new Steps(what: "post of ${stage}", situation: situation, done: done, stage: stage).run(body) }
    def always(Closure body) { inside(body) }
    def success(Closure body) { inside(body) }
    def failure(Closure body) { }
    def cleanup(Closure body) { inside(body) }
}

class Stage extends Place {
    String name
    List done
    List mine = []
    boolean runs = true
    boolean agent
    boolean hasSteps
    def agent(Closure body) { new Agent(what: "agent of ${name}", situation: situation).run(body); agent = true }
    def environment(Closure body) { new Variables(what: "environment of ${name}", situation: situation).run(body) }
    def options(Closure body) {
        def found = new Options(what: "options of ${name}", situation: situation)
        found.run(body)
        found.found.each { mine << [stage: name, step: 'option', text: it, tries: 1] }
    }
    def when(Closure body) {
        def found = new When(what: "when of ${name}", situation: situation)
        found.run(body)
        if (!found.conditions) throw new IllegalArgumentException("No condition in when of ${name}")
        runs = found.holds
    }
    def steps(Closure body) { hasSteps = true; new Steps(what: "steps of ${name}", situation: situation, done: mine, stage: name).run(body) }
    def post(Closure body) { new Post(what: "post of ${name}", situation: situation, done: mine, stage: name).run(body) }
    void end() {
        if (!hasSteps) throw new IllegalArgumentException("No steps in stage ${name}")
        if (runs) done.addAll(mine)
    }
}

class Stages extends Place {
    List done
    boolean agent
    def stage(String name, Closure body) {
        def found = new Stage(what: "stage ${name}", situation: situation, name: name, done: done, agent: agent)
        found.run(body)
        if (!found.agent) throw new IllegalArgumentException("No agent for stage ${name}")
        found.end()
    }
}

class Pipeline extends Place {
    List done = []
    List options = []
    List parameters = []
    Map environment = [:]
    boolean agent
    boolean hasStages
    def agent(Closure body) {
        def found = new Agent(what: 'agent', situation: situation)
        found.run(body)
        agent = !found.labels.isEmpty()
    }
    def options(Closure body) { def found = new Options(what: 'options', situation: situation); found.run(body); options = found.found }
    def parameters(Closure body) { def found = new Parameters(what: 'parameters', situation: situation); found.run(body); parameters = found.names }
    def environment(Closure body) { def found = new Variables(what: 'environment', situation: situation); found.run(body); environment = found.values }
    def stages(Closure body) { hasStages = true; new Stages(what: 'stages', situation: situation, done: done, agent: agent).run(body) }
    def post(Closure body) { new Post(what: 'post', situation: situation, done: done, stage: 'post').run(body) }
}

def situation = new JsonSlurper().parseText(args[1])
def walked = null
def binding = new Binding()
binding.setVariable('pipeline', { Closure body ->
    walked = new Pipeline(what: 'pipeline', situation: situation)
    walked.run(body)
    if (!walked.hasStages) throw new IllegalArgumentException('No stages in pipeline')
})
try {
    new GroovyShell(binding).evaluate(new File(args[0]))
    if (walked == null) throw new IllegalArgumentException('No pipeline')
} catch (IllegalArgumentException | MissingPropertyException | MissingMethodException | org.codehaus.groovy.control.CompilationFailedException wrong) {
    System.err.println(wrong.message)
    System.exit(1)
}
println JsonOutput.toJson([steps: walked.done, options: walked.options, parameters: walked.parameters, environment: walked.environment])
