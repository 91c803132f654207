"""Tables: what the corpus knows. Everything else that it says is made from these by rule."""


def _pairs(text):
    return [tuple(entry.strip().split(":")) for entry in text.replace("\n", " ").split(",") if entry.strip()]


# Names and things of the stories. The COMMON ones are the core; the RARE ones show that others exist.
GIRLS = """
    Mia Lily Anna Emma Zoe Ruby Nora Ella Lucy Rosa Clara Ivy Maya Sara Nina Amy Eva Lola Hana Tess Kira Alma Dora
    Juno Wren Olga Pia Vera Mina Suki
""".split()
BOYS = """
    Tom Leo Ben Max Sam Finn Noah Jack Oscar Hugo Theo Adam Luca Omar Ravi Kofi Ivan Paul Otto Nils Jonas Milo Felix
    Eli Dan Pedro Yuki Arlo Bruno Timo
""".split()
RARE_GIRLS = """
    Greta Marta Petra Sonja Irene Freya Isla Maeve Nadia Leila Amina Yuna Mei Keiko Naomi Ruth Judith Flora Hazel
    Violet Agnes Edith Elsa Paula Carla Bianca Chiara Lucia Ines Pilar Zara Thea Ronja Tilda Malin Astrid Bettina
    Heidi Monika Noemi
""".split()
RARE_BOYS = """
    George Henry Arthur Peter Simon Mark Lukas Jonah Caleb Ethan Logan Mason Oliver William James Robert Frank Walter
    Kurt Emil Anton Viktor Boris Igor Marek Pavel Tomas Diego Carlos Javier Marco Paolo Enzo Hassan Karim Tariq Kwame
    Tunde Hiro Kenji
""".split()
THINGS = """
    kite ball boat drum hat lamp book key bell shell basket blanket map scarf spoon flute coin mirror balloon umbrella
    clock ring kettle pencil box cup robot doll whistle lantern feather button bucket trumpet puzzle marble paintbrush
    bag cake wagon
""".split()
RARE_THINGS = """
    apple anchor arrow bench bottle broom brush candle carpet carrot chair cheese cookie crown curtain cushion dice
    diamond door dragon egg fan flag flower fork glass globe glove guitar hammer harp helmet jar jewel ladder leaf
    letter magnet mask medal mitten mug needle nest orange paddle pan pear pearl picture pillow pin pipe plate pocket
    pot pumpkin purse rocket rope rose ruler saddle sandal saw sled sock sofa spade stamp star stick stone sword table
    tent toy train truck tulip vase violin watch wheel wig wand yarn acorn apron axe badge bamboo banjo barrel bead
    bean beetle belt bicycle board bolt boot bow bowl bracelet branch bread brick bubble butter cabbage camera cap
    card cart castle cello chain chalk chest clay cloak cloth clover coat compass cone cork cradle crayon cube dress
    drill eraser fence fiddle file folder funnel gate gem goggles grape gong hook horn horseshoe hose jacket jug kayak
    knob knot lace lemon lid lock lollipop loom mat match mop mushroom nail napkin necklace net notebook nut oar olive
    onion oven pail paint parcel peach pebble pepper piano plum poster potato quill racket radio rag raft rake razor
    ribbon rug sail sand satchel scale seed shelf shield ship shirt shoe shovel sign skate skirt slate slipper soap
    spear sponge spring statue stool straw suitcase swing tambourine tape teacup thimble thread ticket tie tile tin
    torch towel tray trunk tub tube turnip vest walnut whisk window wire wreath zipper
""".split()
ADJECTIVES = """
    red blue green yellow golden silver purple orange pink white tiny old shiny wooden striped little round magic
""".split()
ANIMALS = """
    fox owl rabbit hedgehog mouse bear cat dog duck frog squirrel goat turtle sparrow badger otter pony lamb crow deer
    beaver mole hen donkey
""".split()
ANIMAL_ADJECTIVES = """
    small kind clever friendly shy funny sleepy gentle young brave
""".split()
CHILD_ADJECTIVES = """
    little kind curious cheerful quiet clever brave young
""".split()
PLACES = _pairs("""
    in:the park, at:the beach, in:the forest, in:the garden, by:the river, on:the hill, at:the market, on:the farm,
    by:the lake, in:the village, in:the meadow, at:the harbor, in:the valley, by:the mill, at:the castle,
    in:the orchard, on:the island, by:the pond, at:the library, in:the old barn
""")

# Never in the corpus: only the evaluation uses these.
UNSEEN_NAMES = """
    Zelda Kevin Priya Mateo Ingrid Sven Aisha Chen Winston Fatima Kaito Brunhilda Rosalind Dmitri Hannah Jamal Keisha
    Ulrich Yara Bjorn Gandalf Bob Alice Matilda Esteban Olivia Harriet Nikolai Svetlana Abdul Giulia Francois
    Magdalena Percival Siobhan Thorsten Valentina Xavier Yolanda Zachary Beatrice Cornelius Dorothea Eduardo Francesca
    Gustav Hildegard Ignacio Josephine Klaus Leopold Mireille Nathaniel Ophelia Penelope Quentin Roderick Sebastian
    Tabitha Wilhelmina
""".split()
UNSEEN_THINGS = """
    sandwich telescope pineapple cactus snowman hammock skateboard wallet tractor quilt helicopter blimmer trozet
    laptop teapot microscope saxophone calendar envelope parachute wheelbarrow thermometer accordion backpack bathtub
    candlestick dishwasher escalator firework gargoyle harmonica icicle jigsaw keyboard lighthouse marionette
    nutcracker overcoat pocketknife quiver rucksack scooter trampoline unicycle vacuum windmill xylophone yacht
    zeppelin chandelier doorknob elevator fountain goblet hourglass kaleidoscope lawnmower megaphone
""".split()

# Facts.
CAPITALS = _pairs("""
    France:Paris, Germany:Berlin, Italy:Rome, Spain:Madrid, Portugal:Lisbon, Austria:Vienna, Switzerland:Bern,
    Belgium:Brussels, the Netherlands:Amsterdam, Luxembourg:Luxembourg, Denmark:Copenhagen, Sweden:Stockholm,
    Norway:Oslo, Finland:Helsinki, Iceland:Reykjavik, Ireland:Dublin, the United Kingdom:London, Poland:Warsaw,
    the Czech Republic:Prague, Slovakia:Bratislava, Hungary:Budapest, Slovenia:Ljubljana, Croatia:Zagreb,
    Serbia:Belgrade, Bosnia and Herzegovina:Sarajevo, Montenegro:Podgorica, Albania:Tirana, North Macedonia:Skopje,
    Greece:Athens, Bulgaria:Sofia, Romania:Bucharest, Moldova:Chisinau, Ukraine:Kyiv, Belarus:Minsk, Lithuania:Vilnius,
    Latvia:Riga, Estonia:Tallinn, Russia:Moscow, Turkey:Ankara, Cyprus:Nicosia, Malta:Valletta, Monaco:Monaco,
    Andorra:Andorra la Vella, Liechtenstein:Vaduz, San Marino:San Marino, Georgia:Tbilisi, Armenia:Yerevan,
    Azerbaijan:Baku, Kazakhstan:Astana, Uzbekistan:Tashkent, Turkmenistan:Ashgabat, Kyrgyzstan:Bishkek,
    Tajikistan:Dushanbe, Afghanistan:Kabul, Pakistan:Islamabad, India:New Delhi, Nepal:Kathmandu, Bhutan:Thimphu,
    Bangladesh:Dhaka, the Maldives:Male, China:Beijing, Mongolia:Ulaanbaatar, Japan:Tokyo, South Korea:Seoul,
    North Korea:Pyongyang, Taiwan:Taipei, Thailand:Bangkok, Laos:Vientiane, Cambodia:Phnom Penh, Vietnam:Hanoi,
    Malaysia:Kuala Lumpur, Singapore:Singapore, Indonesia:Jakarta, the Philippines:Manila, Brunei:Bandar Seri Begawan,
    East Timor:Dili, Iran:Tehran, Iraq:Baghdad, Syria:Damascus, Lebanon:Beirut, Jordan:Amman, Saudi Arabia:Riyadh,
    Yemen:Sanaa, Oman:Muscat, the United Arab Emirates:Abu Dhabi, Qatar:Doha, Bahrain:Manama, Kuwait:Kuwait City,
    Egypt:Cairo, Libya:Tripoli, Tunisia:Tunis, Algeria:Algiers, Morocco:Rabat, Mauritania:Nouakchott, Mali:Bamako,
    Niger:Niamey, Chad:N'Djamena, Sudan:Khartoum, South Sudan:Juba, Ethiopia:Addis Ababa, Eritrea:Asmara,
    Djibouti:Djibouti, Somalia:Mogadishu, Kenya:Nairobi, Uganda:Kampala, Rwanda:Kigali, Tanzania:Dodoma,
    Malawi:Lilongwe, Zambia:Lusaka, Zimbabwe:Harare, Mozambique:Maputo, Madagascar:Antananarivo, Mauritius:Port Louis,
    Botswana:Gaborone, Namibia:Windhoek, Angola:Luanda, Gabon:Libreville, Cameroon:Yaounde, Nigeria:Abuja,
    Benin:Porto-Novo, Togo:Lome, Ghana:Accra, Liberia:Monrovia, Sierra Leone:Freetown, Guinea:Conakry, Senegal:Dakar,
    the Gambia:Banjul, Burkina Faso:Ouagadougou, Cape Verde:Praia, Lesotho:Maseru, Canada:Ottawa,
    the United States:Washington, Mexico:Mexico City, Guatemala:Guatemala City, Belize:Belmopan, Honduras:Tegucigalpa,
    El Salvador:San Salvador, Nicaragua:Managua, Costa Rica:San Jose, Panama:Panama City, Cuba:Havana,
    Jamaica:Kingston, Haiti:Port-au-Prince, the Dominican Republic:Santo Domingo, the Bahamas:Nassau,
    Barbados:Bridgetown, Colombia:Bogota, Venezuela:Caracas, Guyana:Georgetown, Suriname:Paramaribo, Ecuador:Quito,
    Peru:Lima, Brazil:Brasilia, Paraguay:Asuncion, Uruguay:Montevideo, Argentina:Buenos Aires, Chile:Santiago,
    Australia:Canberra, New Zealand:Wellington, Fiji:Suva, Papua New Guinea:Port Moresby, Samoa:Apia, Tonga:Nuku'alofa
""")
COLORS = _pairs("""
    a banana:yellow, a lemon:yellow, the sky:blue, grass:green, snow:white, milk:white, blood:red, a tomato:red,
    a carrot:orange, a frog:green, coal:black, a crow:black, a strawberry:red, the sun:yellow, a leaf:green,
    chocolate:brown, a polar bear:white, a pumpkin:orange, a flamingo:pink, a cucumber:green, an elephant:gray,
    the sea:blue, a swan:white, a cherry:red, a fire truck:red, a bear:brown, a pig:pink, gold:yellow, silver:gray,
    a pea:green
""")
OPPOSITES = _pairs("""
    hot:cold, big:small, up:down, fast:slow, happy:sad, day:night, light:dark, old:young, open:closed, wet:dry,
    hard:soft, full:empty, high:low, long:short, left:right, good:bad, early:late, loud:quiet, rich:poor, strong:weak,
    near:far, clean:dirty, inside:outside, first:last, win:lose, push:pull, black:white, yes:no, thick:thin,
    sweet:sour, true:false, buy:sell, begin:end, brave:afraid, wide:narrow, summer:winter, friend:enemy,
    question:answer, always:never
""")
SOUNDS = _pairs("""
    dog:woof, cat:meow, cow:moo, duck:quack, sheep:baa, pig:oink, horse:neigh, lion:roar, frog:ribbit, owl:hoot,
    bee:buzz, snake:hiss, mouse:squeak, rooster:cock-a-doodle-doo, hen:cluck, crow:caw, donkey:hee-haw, wolf:howl,
    bird:tweet, bear:growl, goat:maa, turkey:gobble
""")
BABIES = _pairs("""
    dog:puppy, cat:kitten, cow:calf, duck:duckling, sheep:lamb, horse:foal, pig:piglet, hen:chick, bear:cub, deer:fawn,
    goat:kid, frog:tadpole, kangaroo:joey, goose:gosling, owl:owlet
""")
PLURALS = _pairs("""
    cat:cats, dog:dogs, mouse:mice, child:children, man:men, woman:women, foot:feet, tooth:teeth, goose:geese,
    sheep:sheep, fish:fish, leaf:leaves, knife:knives, box:boxes, fox:foxes, bus:buses, baby:babies, city:cities,
    party:parties, wolf:wolves, tree:trees, book:books, house:houses, apple:apples, star:stars, wish:wishes,
    potato:potatoes, hero:heroes, key:keys, toy:toys, person:people, ox:oxen
""")
DAYS = """
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday
""".split()
MONTHS = """
    January February March April May June July August September October November December
""".split()
ORDINALS = """
    first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth
""".split()
SMALL_NUMBERS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
""".split()
TENS = """
    twenty thirty forty fifty sixty seventy eighty ninety
""".split()
MISC = [
    ("How many days are in a week?", "There are seven days in a week."),
    ("How many months are in a year?", "There are twelve months in a year."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("How many legs does a dog have?", "A dog has four legs."),
    ("How many wheels does a bicycle have?", "A bicycle has two wheels."),
    ("How many hours are in a day?", "There are twenty-four hours in a day."),
    ("How many minutes are in an hour?", "There are sixty minutes in an hour."),
    ("Where does the sun rise?", "The sun rises in the east."),
    ("Where do fish live?", "Fish live in water."),
    ("What do cows drink?", "Cows drink water."),
    ("What do bees make?", "Bees make honey."),
    ("What do cows eat?", "Cows eat grass."),
    ("What is ice made of?", "Ice is frozen water."),
    ("How many legs does an insect have?", "An insect has six legs."),
    ("Which planet do we live on?", "We live on the planet Earth."),
    ("What are the seasons?", "The seasons are spring, summer, autumn and winter."),
    ("What are the days of the week?", "The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday."),
    ("What are the months of the year?", "The months are January, February, March, April, May, June, July, August, September, October, November and December."),
    ("What do you use an umbrella for?", "You use an umbrella to stay dry in the rain."),
    ("What shines at night?", "The moon and the stars shine at night."),
    ("How many sides does a triangle have?", "A triangle has three sides."),
    ("How many sides does a square have?", "A square has four sides."),
]
